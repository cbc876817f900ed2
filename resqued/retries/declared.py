"""The retry that a job declares, and what it says of the death of its worker."""

from __future__ import annotations

import inspect
from typing import Literal, TypeAlias, cast

from resqued.core.worker_death import ACTIONS, DeathRule
from resqued.errors import JobClassError
from resqued.retries.policy import Retry, read_retry

OnWorkerDeath: TypeAlias = Literal["fail", "retry", "requeue"]

# Of a job: what happens to it if its worker dies.
DEATH_ATTRIBUTE = "on_worker_death"


def own_retry(job: object) -> Retry | None:
    """Return the retry that a job declares: the attribute `retry`, of a class too.

    In a class it is a Retry or a number; anything else there has another meaning.
    Raises JobClassError for a number that cannot be used.
    """
    if not isinstance(job, type):
        return getattr(job, "retry", None)
    found = inspect.getattr_static(job, "retry", None)
    # A lazy object of the application would be evaluated by isinstance, in a worker.
    if issubclass(type(found), Retry):
        return cast("Retry", found)
    # Not True, which is an int too.
    if type(found) is not int:
        return None
    return retry_named(f"{job.__module__}.{job.__qualname__}", found)


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


def check_action(name: str, value: object) -> str | None:
    """Return what a job says of the death of its worker; None if it says nothing.

    Raises JobClassError for anything else than the known texts.
    """
    if value is None or value in ACTIONS:
        return None if value is None else str(value)
    raise JobClassError(
        f"{name}: {DEATH_ATTRIBUTE} {value!r} must be one of {', '.join(ACTIONS)}"
    )


def own_death_rule(job: object) -> DeathRule | None:
    """Return what a job declares for the death of its worker; None if nothing.

    How often and when it is tried again is that of its retry. Raises JobClassError.
    """
    if isinstance(job, type):
        found = inspect.getattr_static(job, DEATH_ATTRIBUTE, None)
        action = None
        if issubclass(type(found), str):
            action = check_action(f"{job.__module__}.{job.__qualname__}", found)
    else:
        action = getattr(job, DEATH_ATTRIBUTE, None)
    retry = own_retry(job)
    if retry is None or not retry.times:
        return None if action is None else DeathRule(action)
    delay = None if callable(retry.delay) else retry.spacing.first_delay
    return DeathRule(action, retry.times, delay)
