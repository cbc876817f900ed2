"""Re-exec: the program of the master is replaced in place, under the same pid.

Runs in the master. A dry run comes first: the new program runs as a separate process
and reports whether it understands the configuration and the state of the master.
Then the master calls execve(2). It stays the parent of its workers; signals stay
blocked; sockets and scoreboards stay open. A file in memory holds the state.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from signal import SIGKILL
from typing import NamedTuple

from msgspec import Struct

from resqued.control.server import ControlServer, Peer
from resqued.core.exit_status import Exit
from resqued.core.timings import NEVER
from resqued.errors import ControlError, StartError
from resqued.log.logger import Logger
from resqued.master import handoff
from resqued.master.handoff import DescriptorList, HandoffState, PidFileRecord
from resqued.master.pool import Pool
from resqued.system import process
from resqued.system.pidfile import PidFile
from resqued.system.process import Pid
from resqued.systemd.notify import without_private

# The number of the descriptor that holds the state; for a dry run after `dry:`.
ENV_VAR = "RESQUED_REEXEC"
_DRY = "dry:"
OUTPUT_TAIL = 64 * 1024


class Handoff(NamedTuple):
    """The state that a new program receives, and whether it is a dry run."""

    state: HandoffState
    is_dry: bool


def load_handoff(environ: MutableMapping[str, str]) -> Handoff | None:
    """Return the state from the older program of this master, or None without one.

    Raises StartError if this program does not know the version of the state. The
    variable is removed from the environment, so that jobs do not inherit it.
    """
    word = environ.pop(ENV_VAR, "")
    number = word.removeprefix(_DRY)
    if not number.isdigit():
        return None
    found = handoff.read(int(number))
    if isinstance(found, int):
        raise StartError(
            f"this program takes over version {handoff.VERSION} of a master's state,"
            f" not {found}: restart the master"
        )
    return Handoff(found, is_dry=number != word)


class _DryRun(Struct):
    """The dry run of the new program: its process, and the file with its output."""

    pid: Pid
    output: int
    give_up_at: float

    def output_tail(self) -> str:
        text = os.pread(self.output, OUTPUT_TAIL, 0).decode("utf-8", "replace")
        lines = text.strip().splitlines()
        return lines[-1] if lines else ""


class Reexec:
    """Replaces the program of the master, when a request asks for it."""

    def __init__(
        self,
        pool: Pool,
        control: ControlServer,
        pid_file: PidFile | None,
        log: Logger,
        may_go: Callable[[], bool],
    ) -> None:
        self._may_go = may_go
        self._pool = pool
        self._control = control
        self._log = log
        self._pid_file = pid_file
        self._asker: Peer | None = None
        self._dry_run: _DryRun | None = None
        self._is_due = False

    def begin(self, asker: Peer, environ: Mapping[str, str], now: float) -> None:
        """Begin the dry run; raise ControlError if one is in progress."""
        if self._dry_run is not None or self._is_due:
            raise ControlError("this master is about to be replaced already")
        self._asker = asker
        state = handoff.write(self._state())
        output = os.memfd_create("resqued-dry-run", os.MFD_CLOEXEC)
        try:
            pid = process.spawn(
                [sys.executable, *sys.orig_argv[1:]],
                descriptor=state,
                environment={**without_private(environ), ENV_VAR: f"{_DRY}3"},
                output=output,
            )
        except OSError as error:
            os.close(output)
            self._fail(f"{sys.executable} cannot be started: {error.strerror}")
            return
        finally:
            os.close(state)
        patience = self._pool.generations.current.config.start_timeout
        self._dry_run = _DryRun(pid, output, now + patience)
        self._pool.dry_run = pid
        self._log.info("reexec_started", dry_run=pid)

    def on_exit(self, pid: Pid, how: Exit) -> None:
        """Note the exit of a child of the master, which may be the dry run."""
        tried = self._dry_run
        if tried is None or pid != tried.pid:
            return
        self._dry_run = self._pool.dry_run = None
        words = tried.output_tail()
        os.close(tried.output)
        if how.code == 0:
            self._is_due = True
        else:
            self._fail(f"the new program, run dry, ended with {how}: {words}")

    def turn(self, now: float) -> None:
        """Execute the new program, when the pool is settled."""
        if self._dry_run is not None and now >= self._dry_run.give_up_at:
            process.send(self._dry_run.pid, SIGKILL)
        if self._is_due and self._may_go():
            self._is_due = False
            self._go()

    def due(self, now: float) -> float:
        """Return when `turn` has something to do, if no message arrives."""
        if self._is_due:
            return (
                now + self._pool.timings.reply_interval
            )  # the dry run is over; wait until the pool is settled
        return NEVER if self._dry_run is None else self._dry_run.give_up_at

    def _fail(self, error: str) -> None:
        self._log.error("reexec_failed", error=error)
        asker, self._asker = self._asker, None
        if asker is not None and not asker.is_closed:
            asker.refuse(error)

    def _state(self) -> HandoffState:
        keep = DescriptorList()
        pool = self._pool.record(keep)
        control = self._control.fileno()
        asker = None
        if self._asker is not None and not self._asker.is_closed:
            asker = keep.keep(self._asker.fileno())
        pid_file = None
        if (file := self._pid_file) is not None:
            pid_file = PidFileRecord(str(file.path), keep.keep(file.fileno()))
        return HandoffState(
            pool=pool,
            control=None if control is None else keep.keep(control),
            asker=asker,
            pid_file=pid_file,
            descriptors=keep.numbers,
        )

    def _go(self) -> None:
        """Call execve(2); returns only if that fails."""
        self._pool.namespaces.leave_lines()
        state = self._state()
        file = handoff.write(state)
        left_open = [file, *state.descriptors]
        self._log.info("master_replaced", workers=len(self._pool.workers()))
        for fd in left_open:
            os.set_inheritable(fd, True)
        try:
            os.execve(  # noqa: S606 - this program, with its own arguments
                sys.executable,
                [sys.executable, *sys.orig_argv[1:]],
                {**os.environ, ENV_VAR: str(file)},
            )
        except OSError as error:
            for fd in left_open:
                os.set_inheritable(fd, False)
            os.close(file)
            self._fail(f"{sys.executable} cannot be executed: {error.strerror}")
