"""The master replaced in place: its program anew, under the same pid.

Runs in the master. The new program is first run dry, as a process of its own, and
says whether it understands the configuration and what it would be handed. Then the
master calls execve(2): it stays the parent of its workers, signals stay held back,
and sockets and boards stay open. What it knew goes over in a file in memory.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from signal import SIGKILL
from typing import Any, NamedTuple

from resqued.control.server import Control, Peer
from resqued.core.exit_status import Exit
from resqued.errors import ControlError, StartError
from resqued.log.logger import Logger
from resqued.master.pool import Pool
from resqued.system import process
from resqued.system.pidfile import PidFile
from resqued.system.process import Pid
from resqued.systemd.notify import without_private

# Counted up when what is handed over changes: an older master is then restarted.
VERSION = 2
# Number of the descriptor that the handoff is in; `dry:` in front of it to try.
ENV_VAR = "RESQUED_REEXEC"
_DRY = "dry:"
OUTPUT_TAIL = 64 * 1024
# The keys of what is handed over that are numbers of descriptors.
_DESCRIPTORS = {"channel", "board", "control", "asker", "descriptor"}


class HandoffState(NamedTuple):
    """What a new program was handed, and whether it is only being tried."""

    values: dict[str, Any]
    is_dry: bool


def load_handoff(environ: MutableMapping[str, str]) -> HandoffState | None:
    """Return what the program before this one has handed over, if there was one.

    Raises StartError if it is of a version that this program does not know. Jobs
    are not to inherit the variable: it is taken away.
    """
    word = environ.pop(ENV_VAR, "")
    number = word.removeprefix(_DRY)
    if not number.isdigit():
        return None
    with os.fdopen(int(number), "rb") as file:
        values = json.loads(file.read())
    if values["version"] != VERSION:
        raise StartError(
            f"this program takes over version {VERSION} of a master's state, not"
            f" {values['version']}: restart the master"
        )
    return HandoffState(values, is_dry=number != word)


@dataclass(slots=True)
class _DryRun:
    """The new program, tried: its process, and where its words go."""

    pid: Pid
    output: int
    give_up_at: float

    def output_tail(self) -> str:
        text = os.pread(self.output, OUTPUT_TAIL, 0).decode("utf-8", "replace")
        lines = text.strip().splitlines()
        return lines[-1] if lines else ""


class Reexec:
    """The way from one program to the next; nothing is on it for most of the time."""

    def __init__(
        self,
        pool: Pool,
        control: Control,
        log: Logger,
        pid_file: PidFile | None,
    ) -> None:
        self._pool = pool
        self._control = control
        self._log = log
        self._pid_file = pid_file
        self._asker: Peer | None = None
        self._dry_run: _DryRun | None = None
        self._is_due = False

    def begin(self, asker: Peer, environ: Mapping[str, str], now: float) -> None:
        """Try the new program; raise ControlError if that is being done already."""
        if self._dry_run is not None or self._is_due:
            raise ControlError("this master is about to be replaced already")
        self._asker = asker
        handoff = _memory_file(self._handoff())
        output = os.memfd_create("resqued-dry-run", os.MFD_CLOEXEC)
        try:
            pid = process.spawn(
                [sys.executable, *sys.orig_argv[1:]],
                descriptor=handoff,
                environment={**without_private(environ), ENV_VAR: f"{_DRY}3"},
                output=output,
            )
        except OSError as error:
            os.close(output)
            self._fail(f"{sys.executable} cannot be started: {error.strerror}")
            return
        finally:
            os.close(handoff)
        patience = self._pool.generations.current.config.start_timeout
        self._dry_run = _DryRun(pid, output, now + patience)
        self._log.info("reexec_started", dry_run=pid)

    def ended(self, pid: Pid, how: Exit) -> None:
        """A child of the master has died: see whether it was the dry run."""
        tried = self._dry_run
        if tried is None or pid != tried.pid:
            return
        self._dry_run = None
        words = tried.output_tail()
        os.close(tried.output)
        if how.code == 0:
            self._is_due = True
        else:
            self._fail(f"the new program, run dry, ended with {how}: {words}")

    def turn(self, now: float, *, may_go: bool) -> None:
        """Go over to the new program, when that disturbs nobody."""
        if self._dry_run is not None and now >= self._dry_run.give_up_at:
            process.send(self._dry_run.pid, SIGKILL)
        if self._is_due and may_go:
            self._is_due = False
            self._go()

    def deadline(self) -> float | None:
        """Return when turn has something to do, if nothing is heard."""
        return None if self._dry_run is None else self._dry_run.give_up_at

    @property
    def is_due(self) -> bool:
        """Whether only the right moment is waited for."""
        return self._is_due

    def _fail(self, error: str) -> None:
        self._log.error("reexec_failed", error=error)
        asker, self._asker = self._asker, None
        if asker is not None and not asker.is_closed:
            asker.answer(ok=False, error=error)

    def _handoff(self) -> dict[str, Any]:
        is_there = self._asker is not None and not self._asker.is_closed
        return {
            "version": VERSION,
            "pool": self._pool.as_dict(),
            "control": self._control.fileno(),
            "asker": self._asker.fileno() if self._asker and is_there else None,
            "pid_file": self._pid_file and self._pid_file.as_dict(),
        }

    def _go(self) -> None:
        """Become the new program; come back only if the system refuses."""
        values = self._handoff()
        file = _memory_file(values)
        handed = [file, *_descriptors(values)]
        self._log.info("master_replaced", workers=len(self._pool.workers()))
        for fd in handed:
            os.set_inheritable(fd, True)
        try:
            os.execve(  # noqa: S606 - this program, with its own arguments
                sys.executable,
                [sys.executable, *sys.orig_argv[1:]],
                {**os.environ, ENV_VAR: str(file)},
            )
        except OSError as error:
            for fd in handed:
                os.set_inheritable(fd, False)
            os.close(file)
            self._fail(f"{sys.executable} cannot be executed: {error.strerror}")


def _memory_file(values: dict[str, Any]) -> int:
    """Return a descriptor to read the values from."""
    fd = os.memfd_create("resqued-handoff", os.MFD_CLOEXEC)
    data = json.dumps(values).encode()
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _descriptors(value: object, key: str = "") -> list[int]:
    """Return the numbers of all descriptors that the values name."""
    if isinstance(value, dict):
        return [fd for k, v in value.items() for fd in _descriptors(v, k)]
    if isinstance(value, list):
        return [fd for item in value for fd in _descriptors(item)]
    is_one = key in _DESCRIPTORS and isinstance(value, int)
    return [value] if is_one else []  # type: ignore[list-item]
