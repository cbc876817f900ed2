"""Processes that are measured: started apart from the terminal, ended as whole
trees, whatever they forked meanwhile.
"""

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

# A process that was killed is gone at once, unless it waits for a disk.
PATIENCE = 10.0

TAIL_LINES = 15


def adopt_orphans() -> None:
    """Make this process the parent of all orphans below it, so that a worker that
    detached itself is found again when the tree is ended.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP unwind the program as Ctrl-C does."""

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
    """Run a command for as long as the block lasts; then end it and all below it.

    A session of its own keeps the terminal's Ctrl-C from it: we end it in order.
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
    """Kill a process that `running` started, and all below it.

    SIGKILL at once: what was measured is measured, and a library's orderly end
    takes seconds. From the top, so that nobody is left to replace the dead; and
    again until the session is empty, for those forked while we looked.
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
    """Kill whatever is still below this process: those that left their session."""
    while strays := psutil.Process().children(recursive=True):
        _kill(strays)


def tail(log: Path) -> str:
    """The last lines of a log, for the message of a failure."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(lines[-TAIL_LINES:])


def _session(pid: int) -> list[int]:
    """Those below us in the session that `pid` leads, without itself."""
    members = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(ProcessLookupError):
            if process.pid != pid and os.getsid(process.pid) == pid:
                members.append(process.pid)
    return members


def _process(pid: int) -> psutil.Process | None:
    """The process of a pid, or None when it is gone or only its status is left."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.NoSuchProcess:
        return None


def _kill(processes: list[psutil.Process]) -> None:
    """Send SIGKILL to all, wait for all, and reap those that are ours by now."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + PATIENCE
    while any(_process(process.pid) is not None for process in processes):
        if time.monotonic() > deadline:
            raise BenchError("a process that was killed does not end")
        time.sleep(0.005)
    for process in processes:
        # Waits for their last threads, so that all they have used is accounted for.
        # Most were never our children, and the first is reaped by its Popen too.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, 0)
