"""The operating system's processes: fork, titles, identity, trees, prctl(2)."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NewType, NoReturn

# setproctitle wipes /proc/<pid>/environ unless told not to; people read it.
os.environ.setdefault("SPT_NOENV", "1")

import psutil
import setproctitle

from resqued import signals
from resqued.core.outcome import Exit

Pid = NewType("Pid", int)

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


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
    with signals.blocked():
        pid = os.fork()
        if pid == 0:
            _run_child(main)
    with suppress(ProcessLookupError, PermissionError):
        os.setpgid(pid, pid)
    return Pid(pid)


def _run_child(main: Callable[[], int]) -> NoReturn:
    """Run main and leave without going back through the parent's frames."""
    code = 70
    try:
        with suppress(OSError):
            os.setpgid(0, 0)
        code = main()
    finally:
        os._exit(code)


def spawn(argv: list[str], *, descriptor: int, environment: dict[str, str]) -> Pid:
    """Start a program with one descriptor, as number 3, and no standard input.

    It leads a group of its own, so that Ctrl-C reaches this process alone.
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
        setsigmask=(),
    )
    return Pid(pid)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (PR_SET_PDEATHSIG).

    Exits at once if the parent is dead already: prctl(2) would not tell.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> None:
    """Adopt orphaned descendants, so that they can be found and reaped."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


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
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


class Family:
    """A job's processes, whatever became of their parents: to be ended together.

    This process is a subreaper, so whoever lost its parent is its child by now.
    Those that began before `since` belong to somebody else, and so do those that
    `spared` names, with their descendants; as long as it answers None, a child
    that is to be spared has not made itself known, and nobody new is taken in.
    Held by pid and start time (psutil), so that a pid used again is not hit.
    """

    def __init__(
        self, root: int, *, spared: Callable[[], Collection[int] | None], since: int
    ) -> None:
        self._root = root
        self._spared = spared
        # A tick of slack: the clock is read apart from the kernel's stamp.
        self._since = since - 1
        self._members: set[psutil.Process] = set()
        self._is_complete = False

    def refresh(self) -> None:
        """Take in the processes that have appeared since."""
        spared = self._spared()
        self._is_complete = spared is not None
        if spared is None:
            return
        with suppress(psutil.Error):
            for child in psutil.Process().children():
                if child.pid not in spared:
                    self._add(child)

    def _add(self, child: psutil.Process) -> None:
        began = start_time(child.pid)
        if child.pid != self._root and (began is None or began < self._since):
            return
        self._members.add(child)
        with suppress(psutil.Error):
            self._members.update(child.children(recursive=True))

    def has_members(self) -> bool:
        """Say whether any of them still runs, as far as can be known."""
        self.refresh()
        self._members = {
            p for p in self._members if start_time(p.pid) and p.is_running()
        }
        return bool(self._members) or not self._is_complete

    def send(self, signum: signal.Signals) -> None:
        """Signal the child's group, then whoever has left it."""
        self.refresh()
        send_group(self._root, signum)
        for member in self._members:
            with suppress(psutil.Error):
                member.send_signal(signum)


def close_descriptors(keep: Collection[int]) -> None:
    """Close every descriptor above standard error but those to keep."""
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = max(low, fd + 1)
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def threads() -> list[str]:
    """Return the names of the threads that run beside the main one.

    A process that has any must not fork: the locks they hold stay held in the
    child for ever.
    """
    named = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    others = len(os.listdir("/proc/self/task")) - 1 - len(named)  # noqa: PTH208
    return [*named, *["(not Python's)"] * others]
