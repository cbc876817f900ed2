"""Measured processes: started in their own sessions, and ended with all descendants."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from errors import BenchError

# prctl(2)
PR_SET_CHILD_SUBREAPER = 36

# In seconds: a killed process ends at once, unless it waits for a disk.
PATIENCE = 10.0

TAIL_LINES = 15


def adopt_orphans() -> None:
    """Make this process the parent of its orphaned descendants, so that a worker that
    has detached itself is found when the tree is ended.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP raise SystemExit, as Ctrl-C raises KeyboardInterrupt."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


@contextlib.contextmanager
def running(
    command: list[str],
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    *,
    talk: bool = False,
) -> Iterator[subprocess.Popen[str]]:
    """Run a command during the block, and end it and its descendants afterwards.

    The command has its own session, so that the terminal's Ctrl-C does not reach it.
    With `talk`, its standard input and output are pipes.
    """
    pipe = subprocess.PIPE if talk else None
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or output,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end_tree(process.pid)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def end_tree(pid: int) -> None:
    """Kill a process that `running` started, and all its descendants.

    Sends SIGKILL at once, since a library's orderly end would take seconds. Parents
    are killed first, so that none of them replaces its children, and the scan is
    repeated until the session is empty, for processes that were forked meanwhile.
    """
    while members := [pid, *_session(pid)]:
        tree = [member for member in map(_process, members) if member is not None]
        if not tree:
            return
        for process in list(tree):
            with contextlib.suppress(psutil.NoSuchProcess):
                tree += process.children(recursive=True)
        _kill(tree)


def end_all() -> None:
    """Kill all remaining descendants: those that have left their session."""
    while remaining := psutil.Process().children(recursive=True):
        _kill(remaining)


def tail(log: Path) -> str:
    """Return the last lines of a log, for the message of a failure."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-TAIL_LINES:])


def _session(pid: int) -> list[int]:
    """Return our descendants in the session that `pid` leads, without `pid`."""
    members = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(ProcessLookupError):
            if process.pid != pid and os.getsid(process.pid) == pid:
                members.append(process.pid)
    return members


def _process(pid: int) -> psutil.Process | None:
    """Return the process of a pid, or None if it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def _kill(processes: list[psutil.Process]) -> None:
    """Kill processes, wait until they have ended, and reap those that are our children.

    Raises BenchError if one does not end within PATIENCE seconds.
    """
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + PATIENCE
    while any(_process(process.pid) is not None for process in processes):
        if time.monotonic() > deadline:
            raise BenchError(f"a killed process has not ended within {PATIENCE:.0f} s")
        time.sleep(0.005)
    for process in processes:
        # Waits for their last threads, so that all of their usage is accounted for.
        # Most are not our children, and the first may be reaped by its Popen.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, 0)
