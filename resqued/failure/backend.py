"""The interface of failure back ends, for those of this package and of applications.

Redis has each failure first. What a back end of another service does, or does not do,
changes neither the record there nor the next job: it runs in a process of its own.
"""

from __future__ import annotations

from resqued.store.failure_entry import Failure


class FailureBackend:
    """A place that failures go to.

    A back end of an application inherits from it and overrides `save`; it is named in
    `[failure] backends` as `module.Class`, and made without arguments. The other
    methods are for back ends that keep failures and can return them.
    """

    # Whether `capture` is called with the exception itself, in the process of the job.
    wants_exception = False

    def capture(self, error: BaseException) -> str:  # noqa: ARG002
        """Return what to keep of an exception that a job has raised, as text.

        Runs in the process of the job after the failure was reported, for 5 seconds at
        most. No exception is left of a job that died by a signal.
        """
        return ""

    def save_captured(self, failure: Failure, delivery: str, captured: str) -> None:  # noqa: ARG002
        """Take a failure with what `capture` has returned, else as `save` does."""
        self.save(failure, delivery)

    def save(self, failure: Failure, delivery: str) -> None:
        """Take one failure; an exception means that it is tried again later.

        `delivery` is an id of 32 hex digits. A failure comes again with the same id if
        this process ends before Redis knows that it was taken. Raises DeliveryRefused
        if another try is of no use. A DeliveryError may say by `retry_after` for how
        many seconds the service asks to be left alone.
        """
        raise NotImplementedError

    def count(self) -> int:
        """Return the number of failures that are kept."""
        return 0

    def page(self, start: int = 0, count: int = 20) -> list[Failure]:  # noqa: ARG002
        """Return up to `count` failures, newest first, without the `start` newest."""
        return []

    def retry(self, failure: Failure) -> bool:  # noqa: ARG002
        """Enqueue the job of a failure again; return False if that is not possible."""
        return False

    def remove(self, failure: Failure) -> bool:  # noqa: ARG002
        """Remove one failure; return False if it is not there."""
        return False

    def clear(self) -> int:
        """Remove all failures; return how many there were."""
        return 0

    def clear_retried(self) -> int:
        """Remove the failures that were retried; return how many there were."""
        return 0

    @property
    def url(self) -> str:
        """An address at which people see the failures; "" if there is none."""
        return ""
