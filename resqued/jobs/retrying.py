"""Whether the job that has just failed in this child is tried again.

Runs in the child, which has the exception, and may call the application.
"""

from __future__ import annotations

from collections.abc import Collection

from resqued.core.retry import LONGEST_DELAY
from resqued.errors import RetryLater
from resqued.hooks import failed_job, job_info
from resqued.hooks.failed_job import HookedFailure
from resqued.hooks.hook_kinds import place_of
from resqued.hooks.job_hooks import Hook, Hooks
from resqued.hooks.job_info import JobInfo
from resqued.jobs.lookup import retry_of
from resqued.retries.policy import Retry, RetryRules, seconds_of

# Of a RetryLater that names no delay, in a job that declares none, in seconds.
_DELAY = 10.0


def with_retry(
    failed: HookedFailure,
    error: BaseException,
    modules: Collection[str],
    rules: RetryRules,
) -> HookedFailure:
    """Return the failure with the delay of the next attempt, if one follows.

    If none does, `on_exhausted` of the job runs as its last on_failure hook.
    """
    job = job_info.current_job()
    if job is None:
        return failed
    policy = retry_of(job.queue, job.class_name, modules, rules)
    asked = _request(error)
    if policy is None and asked is None:
        return failed
    delay = _delay(policy, asked, error, job)
    if delay is not None or policy is None:
        return failed._replace(retry=delay)
    return failed._replace(
        hooks=with_exhausted(failed.hooks, policy), job=job, error=error
    )


def with_exhausted(hooks: Hooks | None, policy: Retry | None) -> Hooks | None:
    """Return the hooks of a job that has failed for good, `on_exhausted` as the last.

    Of the kinds of hooks on_failure alone is there.
    """
    if policy is None or policy.on_exhausted is None:
        return hooks
    last = Hook(policy.on_exhausted, place_of(policy.on_exhausted))
    return {"on_failure": (*(hooks or {}).get("on_failure", ()), last)}


def _request(error: BaseException) -> RetryLater | None:
    """Return the RetryLater that a job has raised, in a group of exceptions too."""
    if isinstance(error, RetryLater):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    found = map(_request, error.exceptions)
    return next((each for each in found if each is not None), None)


def _delay(
    policy: Retry | None, asked: RetryLater | None, error: BaseException, job: JobInfo
) -> float | None:
    """Return the delay of the next attempt in seconds; None if there is none.

    What the application raises here is logged: the job has failed anyway.
    """
    try:
        if asked is not None:
            return _asked(policy, asked, job)
        if policy is None or not policy.wants_error(error):
            return None
        return policy.next_delay(job.attempt, job_info.age_of_job())
    except BaseException as trouble:
        failed_job.report(Hook(_delay, f"retry of {job.class_name}"), trouble)
        return None


def _asked(policy: Retry | None, error: RetryLater, job: JobInfo) -> float | None:
    if error.delay is None:
        if policy is None:
            return _DELAY
        return policy.next_delay(job.attempt, job_info.age_of_job())
    delay = min(LONGEST_DELAY, seconds_of(error.delay, "the delay of RetryLater"))
    if policy is None:
        return delay
    age = job_info.age_of_job()
    return policy.spacing.allowed(job.attempt, delay, age=age)
