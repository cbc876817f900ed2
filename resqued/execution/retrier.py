"""The retries of a worker: which attempt a job is, and what follows its run.

Runs in the worker. The child decides about exceptions, because it has them; the worker
about a child that has died. A function of the application runs in neither of them
here, but in a process of its own.
"""

from __future__ import annotations

from msgspec.structs import replace

from resqued.config.settings import AppSettings
from resqued.execution.active_job import ActiveJob
from resqued.execution.hook_runner import HookRunner
from resqued.hooks import failed_job
from resqued.jobs import lookup
from resqued.log.logger import Logger
from resqued.retries.policy import Retry
from resqued.store.attempts import (
    Attempt,
    AttemptCounters,
    AttemptEnd,
    ChildDeath,
)
from resqued.store.connection import SingleLink
from resqued.store.job_identity import identity_of
from resqued.wire import delayed_item, json_scan, payload
from resqued.wire.keys import Keys
from resqued.wire.payload import FailureInfo, Reservation


class Retrier:
    """Knows the retries of one worker's jobs.

    If no job of the application and no rule of the configuration has one, nothing is
    asked for any job.
    """

    def __init__(
        self, settings: AppSettings, link: SingleLink, hooks: HookRunner, log: Logger
    ) -> None:
        self._log = log
        self._modules, self._rules = settings.modules, settings.retries
        self._counters = AttemptCounters(link, Keys(settings.namespace))
        self._hooks = hooks
        self._deaths = settings.deaths
        declares_retries = any(rule.times for rule in self._deaths.declared.values())
        self._is_used = bool(self._rules or self._deaths) or declares_retries

    def attempt_of(self, held: Reservation) -> Attempt | None:
        """Return which attempt a job is; None if it has no retry.

        Costs a round trip for a job that has one. Raises StoreError.
        """
        if not self._is_used:
            return None
        policy = self._policy_of(held)
        if policy is None and not self._is_put_back(held):
            return None
        if not (identity := identity_of(held.payload)):
            return None
        with_age = policy is not None and bool(policy.spacing.within)
        return self._counters.read(identity, with_age=with_age)

    def _is_put_back(self, held: Reservation) -> bool:
        """Return True if the job is put back when this worker dies."""
        name = json_scan.class_name(held.payload)
        return bool(self._deaths) and self._deaths.of(held.queue, name).puts_back

    def _policy_of(self, held: Reservation) -> Retry | None:
        name = json_scan.class_name(held.payload)
        if not name:
            return None
        return lookup.retry_of(held.queue, name, self._modules, self._rules)

    def after(self, job: ActiveJob, fault: FailureInfo | None) -> AttemptEnd | None:
        """Return what follows the run of a job; None if it has no retry.

        Runs the on_failure hooks of a job whose child has died.
        """
        if fault is None:
            return self.end(job.held, job.attempt, None)
        if job.has_reported:
            return self.end(job.held, job.attempt, job.retry)
        delay = self.delay_after_death(job.held, fault, job.attempt)
        exhausted = self._policy_of(job.held) if delay is None else None
        number = job.attempt.number if job.attempt else 1
        self._hooks.run_on_failure(job.held, fault, exhausted, attempt=number)
        end = self.end(job.held, job.attempt, delay)
        return self._with_death(job.held, end, counts=job.is_to_blame)

    def after_refusal(self, held: Reservation, fault: FailureInfo) -> AttemptEnd | None:
        """Return what follows a job that was not begun. Raises StoreError."""
        attempt = self.attempt_of(held)
        delay = self.delay_after_death(held, fault, attempt)
        return self._with_death(held, self.end(held, attempt, delay), counts=False)

    def _with_death(
        self, held: Reservation, end: AttemptEnd | None, *, counts: bool
    ) -> AttemptEnd | None:
        """Add to the end of a run that its child has died; not to what is no job."""
        name = json_scan.class_name(held.payload)
        attempt = end.attempt if end else Attempt(identity_of(held.payload))
        if not attempt.identity or name == payload.PAYLOAD_ERROR:
            return end
        limit = self._deaths.of(held.queue, name).quarantine_after if counts else 0
        death = ChildDeath(limit or 0, held.queue, payload.shown_name(name))
        return replace(end or AttemptEnd(attempt), death=death)

    def delay_after_death(
        self, held: Reservation, fault: FailureInfo, attempt: Attempt | None
    ) -> float | None:
        """Return the delay of the next attempt of a job that raised no exception."""
        policy = self._policy_of(held) if attempt else None
        if policy and attempt and policy.wants(type(failed_job.error_of(fault))):
            return self._next_delay(policy, attempt)
        return None

    def _next_delay(self, policy: Retry, attempt: Attempt) -> float | None:
        if not callable(policy.delay):
            return policy.next_delay(attempt.number, attempt.age)
        return self._hooks.next_delay(policy, attempt.number, attempt.age)

    def end(
        self, held: Reservation, attempt: Attempt | None, delay: float | None
    ) -> AttemptEnd | None:
        """Return what Redis is to do after a run; None if it needs nothing more."""
        if delay is None:
            # The counter has nothing to forget after a first attempt that succeeded.
            return AttemptEnd(attempt) if attempt and attempt.number > 1 else None
        attempt = attempt or Attempt(identity_of(held.payload))
        text = payload.readable(held.payload)
        self._log.info(
            "retry_scheduled",
            queue=held.queue,
            job_class=payload.class_of(held.payload),
            attempt=attempt.number + 1,
            wait=round(delay, 3),
        )
        return AttemptEnd(
            attempt,
            delay,
            held.queue,
            text,
            delayed_item.encode(text, held.queue),
            self._rules.records_all,
        )
