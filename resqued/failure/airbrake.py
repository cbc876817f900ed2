"""The back end `airbrake`: each failure as a notice, through the extra `airbrake`.

AIRBRAKE_PROJECT_ID and AIRBRAKE_PROJECT_KEY name the project; AIRBRAKE_HOST is another
server than Airbrake's own.
"""

from __future__ import annotations

import os
from typing import Any

from resqued.errors import ConfigError, DeliveryError
from resqued.failure.backend import FailureBackend
from resqued.failure.sentry import frames_of
from resqued.store.failure_entry import Failure


class AirbrakeBackend(FailureBackend):
    """Sends notices to one project."""

    def __init__(self) -> None:
        try:
            import pybrake  # type: ignore[import-untyped]  # it has no types
        except ImportError:
            raise ConfigError(
                "back end airbrake needs pybrake: pip install 'resqued[airbrake]'"
            ) from None
        number = os.environ.get("AIRBRAKE_PROJECT_ID", "")
        key = os.environ.get("AIRBRAKE_PROJECT_KEY", "")
        if not (number.isascii() and number.isdigit() and key):
            raise ConfigError(
                "back end airbrake needs AIRBRAKE_PROJECT_ID, a number, and"
                " AIRBRAKE_PROJECT_KEY"
            )
        host = os.environ.get("AIRBRAKE_HOST")
        self._notifier = pybrake.Notifier(
            project_id=int(number),
            project_key=key,
            performance_stats=False,
            remote_config=False,
            **({"host": host} if host else {}),
        )

    def save(self, failure: Failure, delivery: str) -> None:
        """Send one failure as a notice."""
        frames: list[dict[str, Any]] = [
            {"file": f["filename"], "line": f["lineno"], "function": f["function"]}
            for f in reversed(frames_of(failure.backtrace))
        ]
        error = {
            "type": failure.exception,
            "message": failure.error,
            "backtrace": frames,
        }
        notice = self._notifier.send_notice_sync(
            {
                "errors": [error],
                "context": {
                    "component": failure.queue,
                    "action": failure.class_name,
                    "severity": "error",
                    "hostname": failure.worker.partition(":")[0],
                },
                "params": {"args": list(failure.args), "delivery": delivery},
            }
        )
        if notice.get("error"):
            raise DeliveryError(str(notice["error"]))
