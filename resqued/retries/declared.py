"""The retry that a job declares."""

from __future__ import annotations

import inspect

from resqued.errors import JobClassError
from resqued.retries.policy import Retry, read_retry


def own_retry(job: object) -> Retry | None:
    """Return the retry that a job declares: the attribute `retry`, of a class too.

    In a class it is a Retry or a number; anything else there has another meaning.
    Raises JobClassError for a number that cannot be used.
    """
    if not isinstance(job, type):
        return getattr(job, "retry", None)
    found = inspect.getattr_static(job, "retry", None)
    if isinstance(found, Retry):
        return found
    # Not True, which is an int too.
    is_number = type(found) is int
    return retry_named(
        f"{job.__module__}.{job.__qualname__}", found if is_number else None
    )


def retry_named(name: str, value: object) -> Retry | None:
    """Return the retry of what a job declares, None for None.

    Raises JobClassError, which names the job.
    """
    if value is None:
        return None
    try:
        return read_retry(value)
    except JobClassError as error:
        raise JobClassError(f"{name}: {error}") from None
