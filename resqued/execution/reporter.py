"""The state of a worker as it is shown: on its scoreboard, in its title, in the log.

Runs in the worker. The scoreboard is for the master, which checks how long a step
takes. The title is for people, who see it with `ps`. The log has a line for the
outcome of each job.
"""

from __future__ import annotations

import time

from resqued.execution.active_job import ActiveJob
from resqued.ipc.scoreboard import Phase, Scoreboard
from resqued.log import logger
from resqued.log.logger import Logger
from resqued.system import process_title
from resqued.wire import payload, titles
from resqued.wire.payload import FailureInfo, Reservation

# The most characters of an error in the log; the failure entry has the rest.
MOST_OF_ERROR = 500


class WorkerReporter:
    """Shows the state of one worker on its scoreboard, in its title and in the log."""

    def __init__(
        self,
        scoreboard: Scoreboard,
        generation: int,
        log: Logger,
        namespace: str = "",
    ) -> None:
        self._scoreboard = scoreboard
        self._generation = generation
        # The namespace that titles name; "" if they name none.
        self._namespace = namespace
        self.log = log
        # hot path: log-guard
        self._is_verbose = logger.is_logged("job_performed", "info")
        self._phase = Phase.STARTING
        # When the phase began.
        self._since = 0.0
        # How many runs have ended, and how many of them had failed.
        self.done = self._failed = 0
        # The value of `done` when the worker last became idle.
        self._done_when_idle = -1
        self._last: tuple[Reservation, FailureInfo | None] | None = None
        scoreboard.enable_stack_dump()

    @property
    def since(self) -> float:
        """When the current step began, on the monotonic clock."""
        return self._since

    @property
    def has_worked(self) -> bool:
        """Whether a job has ended since the worker was last idle."""
        return self.done > max(0, self._done_when_idle)

    @property
    def shows_job(self) -> bool:
        """Whether the scoreboard shows a running job."""
        return self._phase is Phase.RUNNING

    def phase(self, phase: Phase, job: ActiveJob | None = None) -> None:
        """Show that a step begins now."""
        pid, began = (job.pid, job.began) if job else (0, 0)
        self._phase, self._since = phase, time.monotonic()
        self._scoreboard.write(phase, pid, self._since, began)

    def progress(self) -> None:
        """Show that the loop is alive."""
        self.phase(self._phase)

    def idle(self, queues: tuple[str, ...], *, is_paused: bool) -> None:
        """Show that the worker is idle, or paused."""
        self.phase(Phase.WAITING)
        if self._done_when_idle != self.done:
            # A look that finds no job, or a heartbeat, does not restart the idle time.
            self._done_when_idle = self.done
            self._scoreboard.set_idle_since(self._since)
        self._show(titles.paused() if is_paused else titles.waiting(queues))

    def busy(self, job: ActiveJob) -> None:
        """Show the job that a child runs."""
        self._show(titles.forked(job.pid, time.time()))

    def quitting(self, job: ActiveJob) -> None:
        """Show that this worker leaves when its running job has ended."""
        self._show(titles.quitting(job.pid, self._generation))

    def _show(self, title: str) -> None:
        if self._namespace:
            title = titles.in_namespace(title, self._namespace)
        process_title.set_title(title)

    def ended(self, held: Reservation, fault: FailureInfo | None) -> float:
        """Log the outcome of a job; return how many seconds it took."""
        # The phase began with the job.
        took = time.monotonic() - self._since
        self.done += 1
        if fault is not None:
            self._failed += 1
        self._scoreboard.count(self.done, self._failed)
        self._last = (held, fault)
        if fault is not None:
            self.log.warning("job_failed", **self._told_of_last())
        elif self._is_verbose:
            self.log.info("job_performed", **self._told_of_last())
        return took

    def unsettled(self, run: int) -> None:
        """Log that the outcome of the last job could not be stored in Redis."""
        self.log.error("job_unsettled", run=run, **self._told_of_last())

    def _told_of_last(self) -> dict[str, object]:
        """Return the fields that describe the last job, without its arguments."""
        assert self._last is not None, "a job has ended"
        held, fault = self._last
        about: dict[str, object] = {
            "queue": held.queue,
            "job_class": payload.class_of(held.payload),
            # The phase began with the job.
            "duration": round(time.monotonic() - self._since, 3),
        }
        if fault is not None:
            about["exception"] = fault.exception
            about["error"] = fault.error[:MOST_OF_ERROR]
        return about
