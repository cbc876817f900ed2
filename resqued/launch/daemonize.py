"""Becoming a daemon, and reporting the result to the process that waits for it.

The launcher is the command that somebody has typed. It forks what becomes the
daemon, and hears from it through a pipe: its pid, then that it is ready, or why it
is not. The pipe has come to its end when the daemon has.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import daemon

from resqued.errors import ConfigError, ExitCode, LaunchError, ResquedError
from resqued.log import logger
from resqued.system import process, signals
from resqued.system.lines import LineReader
from resqued.system.process_handle import ProcessHandle

# What is told to terminate has its own graces; this is for what does not obey.
_END_SLACK = 60.0


class StartReport:
    """The daemon's end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor, which is to stay open."""
        return self._fd

    def _say(self, **values: Any) -> None:
        with suppress(OSError):  # the launcher was killed: nobody wants to know
            os.write(self._fd, json.dumps(values).encode() + b"\n")

    def began(self) -> None:
        """Tell the pid of this process."""
        self._say(pid=os.getpid())

    def ready(self) -> None:
        """Tell that every worker is registered; there is nothing to tell after it."""
        self._say(ready=True)
        os.close(self._fd)
        self._fd = -1

    def ended(self, reasons: Sequence[str], code: int) -> None:
        """Tell why there is no daemon, just before there is none."""
        if self._fd >= 0:
            self._say(reasons=list(reasons), code=int(code))


def launch(main: Callable[[StartReport], int], timeout: float) -> int:
    """Fork a daemon that runs `main`; return its pid when it is ready.

    Raises LaunchError with its reasons if it does not come to that, or not within
    the timeout; then no process of it is left.
    """
    reading, writing = os.pipe()
    launched = _Launched(reading)
    # In the daemon they stay so until its inbox takes them: none gets lost.
    signals.block()
    try:
        try:
            pid = process.fork_child(lambda: _run(main, reading, writing))
        finally:
            os.close(writing)
            signals.unblock()
        os.waitpid(pid, 0)  # it leaves as soon as it has forked the next one
        return launched.wait(time.monotonic() + timeout)
    except TimeoutError:
        launched.end()
        raise LaunchError(
            [f"not every worker was registered within {timeout:g} s; it was stopped"],
            ExitCode.INTERNAL,
        ) from None
    except KeyboardInterrupt:
        launched.end()
        raise
    finally:
        os.close(reading)


def _run(main: Callable[[StartReport], int], reading: int, writing: int) -> int:
    """Runs in what becomes the daemon; its exit status is for nobody."""
    os.close(reading)
    report = StartReport(writing)
    try:
        code = main(report)
    except ResquedError as error:
        reasons = error.problems if isinstance(error, ConfigError) else (str(error),)
        code = error.exit_code
    except Exception as error:  # the last guard: nobody would hear of it
        logger.get(role="master", pid=os.getpid()).exception("master_failed")
        reasons = (f"internal error: {type(error).__name__}: {error}",)
        code = ExitCode.INTERNAL
    else:
        stopped = "the master ended before it was ready: it was told to, or has failed"
        report.ended([stopped], code or ExitCode.FAILED)
        return code
    for reason in reasons:
        sys.stderr.write(f"resqued: {reason}\n")  # which is the log here
    sys.stderr.flush()
    report.ended(reasons, code)
    return code


def detach(*, umask: int, keep: Sequence[int]) -> None:
    """Leave terminal, session and parent behind; close all but these descriptors.

    Standard input, output and error are /dev/null. The working directory stays:
    relative names mean the same at each reload, and at a takeover.
    """
    context = daemon.DaemonContext(
        detach_process=True,
        working_directory=".",
        umask=umask,
        files_preserve=list(keep),
        # What the configuration says of cores is for the children.
        prevent_core=False,
        # The inbox has them all; handlers of another kind would only be in its way.
        signal_map={},
    )
    context.open()
    for stream in range(3):
        # dup2(2) of a descriptor to itself leaves it to be closed by exec.
        os.set_inheritable(stream, True)


class _Launched:
    """The launcher's end of the pipe, and what came through it."""

    def __init__(self, fd: int) -> None:
        self._lines = LineReader(fd)
        self._pid = 0

    def wait(self, give_up_at: float) -> int:
        """Return the pid when the daemon is ready; raise LaunchError, TimeoutError."""
        reasons = ["the master died before it was ready, and did not say of what"]
        code: int = ExitCode.INTERNAL
        while (told := self._hear(give_up_at)) is not None:
            self._pid = told.get("pid", self._pid)
            if told.get("ready"):
                return self._pid
            if "reasons" in told:
                reasons, code = told["reasons"], told["code"]
        raise LaunchError(reasons, ExitCode(code))

    def _hear(self, give_up_at: float) -> dict[str, Any] | None:
        """Return what is said next; None when there is nobody to say any more."""
        line = self._lines.read(give_up_at)
        if line is None:
            return None
        told: dict[str, Any] = json.loads(line)
        return told

    def end(self) -> None:
        """Have the daemon terminate, and see that it has gone."""
        handle = ProcessHandle.open(self._pid) if self._learn_pid() else None
        if handle is None:
            return
        # Not SIGTERM, which can be configured to wait for running jobs.
        for signum in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                handle.send(signum)
            if handle.has_ended(_END_SLACK):
                break
        handle.close()

    def _learn_pid(self) -> bool:
        """Return True if the pid is known; it is the first thing that is told."""
        if not self._pid:
            with suppress(TimeoutError):
                told = self._hear(time.monotonic() + _END_SLACK)
                self._pid = 0 if told is None else told.get("pid", 0)
        return self._pid != 0
