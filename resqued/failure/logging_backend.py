"""The back end `log`: each failure as a record of Python's logging.

The record goes to the logger `resqued.failures`, at level ERROR; its attribute
`failure` has all fields. Without a handler it goes to standard error.
"""

from __future__ import annotations

import logging

from resqued.failure.backend import FailureBackend
from resqued.store.failure_entry import Failure

_LOGGER = logging.getLogger("resqued.failures")


class LoggingBackend(FailureBackend):
    """Logs failures."""

    def save(self, failure: Failure, delivery: str) -> None:
        """Log one failure."""
        _LOGGER.error(
            "%s of queue %s failed: %s: %s",
            failure.class_name,
            failure.queue,
            failure.exception,
            failure.error,
            extra={"failure": failure.as_dict(), "delivery": delivery},
        )
