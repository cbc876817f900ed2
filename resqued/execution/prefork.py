"""Children that are forked before their jobs are known, on the worker's side.

Runs in the worker. A job then starts with a write instead of a fork: the next child
is forked while the job before runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from signal import SIGKILL

from msgspec import Struct

from resqued.ipc.job_pipe import ChildEnd, PipeSecret, WorkerEnd
from resqued.log import logfile
from resqued.log.logger import Logger
from resqued.system import process
from resqued.system.process import Pid


class ChildHandle(Struct):
    """A child that was forked before its job was known."""

    pid: Pid
    pipe: WorkerEnd
    jobs: int
    # How often the log had been reopened before the fork; the child writes to that log.
    log: int


class ChildPool:
    """Forks children, and keeps the one that waits for a job.

    `live` is the main function of a child. Its arguments are the child's ends of the
    pipes and the descriptors that the child must close: the worker's ends, and those
    that `private` returns. `jobs` is how many jobs a child runs before it exits.
    """

    def __init__(
        self,
        live: Callable[[ChildEnd, list[int]], int],
        private: Callable[[], list[int]],
        *,
        jobs: int,
    ) -> None:
        self._live = live
        self._private = private
        self._jobs = jobs
        self._standby: ChildHandle | None = None
        self._log = 0
        self._secret = PipeSecret()

    def standby(self) -> set[int]:
        """Return the pid of the waiting child, as a set that is empty without one."""
        return set() if self._standby is None else {self._standby.pid}

    def descriptors(self) -> tuple[int, ...]:
        """Return the worker's ends of the pipes of the waiting child."""
        if self._standby is None:
            return ()
        return self._standby.pipe.down, self._standby.pipe.up

    def take(self) -> ChildHandle:
        """Return a child for a job; raises OSError if none can be forked."""
        forked = self._standby or self._fork()
        self._standby = None
        return forked

    def fork_ahead(self) -> None:
        """Fork a child for the next job, if that is possible now."""
        if self._standby is None:
            try:
                self._standby = self._fork()
            except OSError:
                return  # take tries again, and raises the error

    def put_back(self, forked: ChildHandle) -> None:
        """Keep a child that has finished its job for the next one."""
        if forked.log != self._log:
            forked.pipe.close()  # it exits, because it would write to the old log
            return
        self.discard()
        forked.jobs -= 1
        self._standby = forked

    def reopen_log(self, path: str, log: Logger) -> None:
        """Reopen the log, and end the waiting child, which has the old one open."""
        logfile.follow(path, log)
        self._log += 1
        if self._standby is not None:
            self.discard()
            self.fork_ahead()

    def lost(self, pid: Pid) -> None:
        """Note the exit of a child; it is not replaced until the next job."""
        if self._standby is not None and pid == self._standby.pid:
            self._standby.pipe.close()
            self._standby = None

    def discard(self) -> None:
        """End the waiting child; there will be no job for it."""
        if self._standby is not None:
            self._standby.pipe.close()
            process.send(self._standby.pid, SIGKILL)
            self._standby = None

    def _fork(self) -> ChildHandle:
        down_read, down_write = os.pipe()
        up_read, up_write = os.pipe()
        ours, theirs = (down_write, up_read), (down_read, up_write)
        end = ChildEnd(*theirs, secret=self._secret, read_end=up_read)
        foreign = [*ours, *self._private()]
        try:
            pid = process.fork_child(self._live, end, foreign)
        except OSError:
            _close(ours)
            raise
        finally:
            _close(theirs)
        return ChildHandle(
            pid, WorkerEnd(*ours, secret=self._secret), self._jobs, self._log
        )


def _close(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)
