"""The operating system's processes: fork, titles, identity, trees, prctl(2)."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NewType, NoReturn

# setproctitle wipes /proc/<pid>/environ unless told not to; people read it.
os.environ.setdefault("SPT_NOENV", "1")

import setproctitle

from resqued import signals
from resqued.core.outcome import Exit

Pid = NewType("Pid", int)

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGKILL = int(signal.SIGKILL)
_TICKS = os.sysconf("SC_CLK_TCK")
_prctl = ctypes.CDLL(None).prctl


def set_title(title: str) -> None:
    """Show title in `ps`."""
    setproctitle.setproctitle(title)


def fork_child(main: Callable[[], int]) -> Pid:
    """Fork; run main in the child, which never returns; answer the child's pid.

    Signals are blocked until main calls signals.unblock, so that one sent at
    once is neither lost nor delivered to the parent's inbox. The child leads a
    process group of its own; both sides see to that, or a signal to the group
    could come too early.
    """
    signals.block()
    try:
        pid = os.fork()
        if pid == 0:
            _run_child(main)
    finally:
        signals.unblock()
    try:
        os.setpgid(pid, pid)
    except OSError:
        return Pid(pid)  # the child was faster, or is dead
    return Pid(pid)


def _run_child(main: Callable[[], int]) -> NoReturn:
    """Run main and leave without going back through the parent's frames."""
    code = 70
    try:
        try:  # noqa: SIM105 - contextlib would be pages to copy, for every child
            os.setpgid(0, 0)
        except OSError:
            pass  # the parent was faster
        code = main()
    finally:
        os._exit(code)


def spawn(argv: list[str], *, descriptor: int, environment: dict[str, str]) -> Pid:
    """Start a program with one descriptor, as number 3, and no standard input.

    It leads a group of its own, so that Ctrl-C reaches this process alone, and
    begins with signals held back: it calls signals.unblock when it can take them.
    """
    pid = os.posix_spawnp(
        argv[0],
        argv,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, descriptor, 3),
        ],
        setpgroup=0,
        setsigmask=signals.HANDLED,
    )
    return Pid(pid)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (PR_SET_PDEATHSIG).

    Exits at once if the parent is dead already: prctl(2) would not tell.
    """
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> None:
    """Adopt orphaned descendants, so that they can be found and reaped."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def reap() -> list[tuple[Pid, Exit]]:
    """Collect every child that has ended.

    Children that nobody knows of are collected as well: a subreaper gets them.
    """
    ended: list[tuple[Pid, Exit]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        code = os.waitstatus_to_exitcode(status)
        ended.append((Pid(pid), Exit(code, os.WCOREDUMP(status))))


def send(pid: int, signum: signal.Signals) -> None:
    """Send a signal to one process; nothing happens if it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def send_group(pid: int, signum: signal.Signals) -> None:
    """Send a signal to the group that pid leads; nothing happens if it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)


@cache
def hostname() -> str:
    """Return the host name as gethostname(2) tells it, not the full one."""
    return socket.gethostname()


@cache
def boot_id() -> str:
    """Return what tells this boot of this machine from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


@cache
def pid_namespace() -> str:
    """Return what tells whose pids these are: containers have their own."""
    return str(Path("/proc/self/ns/pid").readlink())


def start_time(pid: int) -> int | None:
    """Return when a process began, in ticks since boot; None if it is gone.

    With the boot id this tells a process from a later one of the same pid; no
    clock is involved (proc(5), /proc/pid/stat, field 22).
    """
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and parentheses; the state follows the last one.
    return text.rpartition(")")[2].split()


def ticks() -> int:
    """Return the time since boot on the clock of start_time."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def threads() -> list[str]:
    """Return the names of the threads that run beside the main one.

    A process that has any must not fork: the locks they hold stay held in the
    child for ever.
    """
    named = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    others = len(os.listdir("/proc/self/task")) - 1 - len(named)  # noqa: PTH208
    return [*named, *["(not Python's)"] * others]
