"""The start of a daemon, which reports its result to the process that waits for it.

The launcher is the command that a person has typed. It forks the process that becomes
the daemon, and reads from a pipe: the pid of the daemon, then that it is ready, or the
reasons why it is not. When the daemon exits, the pipe is at end of file.
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

# How long a daemon that was ordered to terminate may take, in seconds, before it is
# killed; its own grace periods are shorter.
_END_SLACK = 60.0


class StartReport:
    """The daemon's end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """Return the descriptor, which must stay open."""
        return self._fd

    def _say(self, **values: Any) -> None:
        with suppress(OSError):  # the launcher was killed
            os.write(self._fd, json.dumps(values).encode() + b"\n")

    def began(self) -> None:
        """Report the pid of this process."""
        self._say(pid=os.getpid())

    def ready(self) -> None:
        """Report that every worker is registered, and close the pipe."""
        self._say(ready=True)
        os.close(self._fd)
        self._fd = -1

    def ended(self, reasons: Sequence[str], code: int) -> None:
        """Report why the daemon ends; nothing happens after `ready`."""
        if self._fd >= 0:
            self._say(reasons=list(reasons), code=int(code))


def launch(main: Callable[[StartReport], int], timeout: float) -> int:
    """Fork a daemon that runs `main`; return its pid when it is ready.

    Raises LaunchError with the reasons if the daemon ends before that, or is not ready
    within `timeout` seconds; no process of it is left then.
    """
    reading, writing = os.pipe()
    launched = _Launched(reading)
    # In the daemon, signals stay blocked until its inbox takes them, so none is lost.
    signals.block()
    try:
        try:
            pid = process.fork_child(lambda: _run(main, reading, writing))
        finally:
            os.close(writing)
            signals.unblock()
        os.waitpid(pid, 0)  # it exits as soon as it has forked the daemon
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
    """Run `main` in the process that becomes the daemon; return the exit status.

    No process reads the exit status; the reasons are reported through the pipe.
    """
    os.close(reading)
    report = StartReport(writing)
    try:
        code = main(report)
    except ResquedError as error:
        reasons = error.problems if isinstance(error, ConfigError) else (str(error),)
        code = error.exit_code
    except Exception as error:  # without this no message would appear
        logger.get(role="master", pid=os.getpid()).exception("master_failed")
        reasons = (f"internal error: {type(error).__name__}: {error}",)
        code = ExitCode.INTERNAL
    else:
        stopped = "the master ended before it was ready: it was stopped, or has failed"
        report.ended([stopped], code or ExitCode.FAILED)
        return code
    for reason in reasons:
        sys.stderr.write(f"resqued: {reason}\n")  # standard error is the log
    sys.stderr.flush()
    report.ended(reasons, code)
    return code


def detach(*, umask: int, keep: Sequence[int]) -> None:
    """Become a daemon: a new session without a terminal, with init as parent.

    Closes all descriptors except those in `keep`. Standard input, output and error
    become /dev/null. The working directory stays, so that relative names mean the same
    at each reload, and when the program is replaced.
    """
    context = daemon.DaemonContext(
        detach_process=True,
        working_directory=".",
        umask=umask,
        files_preserve=list(keep),
        # The configured core size applies to the children only.
        prevent_core=False,
        # The inbox takes all signals; other handlers would interfere.
        signal_map={},
    )
    context.open()
    for stream in range(3):
        # dup2(2) of a descriptor to itself does not clear close-on-exec.
        os.set_inheritable(stream, True)


class _Launched:
    """The launcher's end of the pipe, and the pid that the daemon has reported."""

    def __init__(self, fd: int) -> None:
        self._lines = LineReader(fd)
        self._pid = 0

    def wait(self, give_up_at: float) -> int:
        """Return the pid when the daemon is ready.

        Raises LaunchError if the daemon ends before, TimeoutError at `give_up_at`.
        """
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
        """Return the next report of the daemon; None at end of file."""
        line = self._lines.read(give_up_at)
        if line is None:
            return None
        told: dict[str, Any] = json.loads(line)
        return told

    def end(self) -> None:
        """Terminate the daemon, and wait until it has exited."""
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
        """Return True if the pid is known; the daemon reports it first."""
        if not self._pid:
            with suppress(TimeoutError):
                told = self._hear(time.monotonic() + _END_SLACK)
                self._pid = 0 if told is None else told.get("pid", 0)
        return self._pid != 0
