"""The operating system's processes: fork, titles, identity, trees."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple, NewType, NoReturn

# setproctitle wipes /proc/<pid>/environ unless told not to; people read it.
os.environ.setdefault("SPT_NOENV", "1")

import setproctitle

from resqued.core.exit_status import LEFT_WELL, Exit
from resqued.system import signals

Pid = NewType("Pid", int)

_TICKS = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None)
_waitpid = _libc.waitpid
# hot path: libc-exit
_exit: Callable[[int], NoReturn] = _libc._exit
# Not in every C library.
_tgkill = getattr(_libc, "tgkill", None)


def reserve_title_space() -> None:
    """Let titles be longer than this process's arguments were.

    They take the place of the environment then, as others see it. To be called
    before the first title.
    """
    os.environ.pop("SPT_NOENV", None)


def set_title(title: str) -> None:
    """Show title in `ps`."""
    setproctitle.setproctitle(title)


def fork_child(main: Callable[..., int], *args: object) -> Pid:
    """Fork; call main in the child, which never returns; answer the child's pid.

    Signals are held back in whoever has an inbox, and so in the child until main
    calls signals.unblock: one sent at once is neither lost nor delivered to the
    parent. The child leads a process group of its own; both sides see to that, or
    a signal to the group could come too early.
    """
    pid = os.fork()
    if pid == 0:
        _run_child(main, args)
    # hot path: no-contextlib
    try:
        os.setpgid(pid, pid)
    except OSError:
        return Pid(pid)  # the child was faster, or is dead
    return Pid(pid)


def _run_child(main: Callable[..., int], args: tuple[object, ...]) -> NoReturn:
    """Run main and leave without going back through the parent's frames."""
    code = 70
    try:
        # hot path: no-contextlib
        try:  # noqa: SIM105
            os.setpgid(0, 0)
        except OSError:
            pass  # the parent was faster
        code = main(*args)
    finally:
        _exit(code)


def spawn(
    argv: list[str],
    *,
    descriptor: int,
    environment: dict[str, str],
    output: int | None = None,
) -> Pid:
    """Start a program with one descriptor, as number 3, and no standard input.

    What it prints goes where our own does, or to `output`.

    It leads a group of its own, so that Ctrl-C reaches this process alone, and
    begins with signals held back until it can take them.
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    ]
    if output is not None:
        actions += [(os.POSIX_SPAWN_DUP2, output, fd) for fd in (1, 2)]
    # The last: its source may be any other number.
    actions.append((os.POSIX_SPAWN_DUP2, descriptor, 3))
    pid = os.posix_spawnp(
        argv[0],
        argv,
        environment,
        file_actions=actions,
        setpgroup=0,
        setsigmask=signals.HANDLED,
    )
    return Pid(pid)


def has_children() -> bool:
    """Say whether this process has children that run; the dead ones are reaped."""
    # hot path: libc-waitpid
    while (pid := _waitpid(-1, None, os.WNOHANG)) > 0:
        pass
    return bool(pid == 0)


def apply_rlimits(nice: int, open_files: int, core_size: int) -> None:
    """Lower this process's priority and resource limits; -1 leaves one as it is.

    Never raises one: what is more than the hard limit stands for the hard limit.
    """
    if nice > 0:
        os.nice(nice)
    wanted = ((resource.RLIMIT_NOFILE, open_files), (resource.RLIMIT_CORE, core_size))
    for which, value in wanted:
        if value < 0:
            continue
        _, hard = resource.getrlimit(which)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (most, most))


def reset_oom_score() -> None:
    """Be as likely as others to be killed for want of memory (proc(5), oom_score_adj).

    What a service protects is its master; all that is forked from here on follows.
    """
    score = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):
        if int(score.read_text("ascii")) < 0:
            score.write_text("0", "ascii")


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
        ended.append((Pid(pid), _how(status)))


def _how(status: int) -> Exit:
    # hot path: made-once
    if status == 0:
        return LEFT_WELL
    return Exit(os.waitstatus_to_exitcode(status), os.WCOREDUMP(status))


def describe(pid: int, uid: int) -> str:
    """Return who a process is, for a log: its pid, its name and its user's number."""
    if pid == 0:
        return "the kernel"
    try:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        name = "gone"
    return f"{pid} ({name}), uid {uid}"


def title(pid: int) -> str:
    """Return what `ps` shows of a process; nothing if it is gone."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode("utf-8", "replace").strip()


def send(pid: int, signum: int) -> None:
    """Send a signal to one process; nothing happens if it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor of a process (pidfd_open(2)); None if it is gone.

    Whatever becomes of the pid, it means this process and no other.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def has_ended(handle: int, timeout: float | None) -> bool:
    """Wait for the end of a process, however long without a timeout; say if it came."""
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


def send_main_thread(pid: int, signum: int) -> None:
    """Send a signal to the main thread of one process; nothing if it is gone.

    One to the whole process goes to any thread when it has been stopped. Python
    runs handlers in the main thread, which would sleep on in its system call.
    """
    if _tgkill is None:
        send(pid, signum)
    else:
        _tgkill(pid, pid, signum)


def send_group(pid: int, signum: signal.Signals) -> None:
    """Send a signal to the group that pid leads; nothing happens if it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)


@cache
def hostname() -> str:
    """Return the host name as gethostname(2) tells it, not the full one."""
    return socket.gethostname()


def host_in_ids(configured: str) -> str:
    """Return the host's part of worker ids, whose parts a colon divides."""
    return (configured or hostname()).replace(":", "-")


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


def children(pid: int) -> list[int] | None:
    """Return the children of a process; none of one that is gone.

    Answers None where the kernel does not list them (proc(5), children). One may be
    left out while others end.
    """
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - names alone
            path = f"/proc/{pid}/task/{task}"
            try:
                with open(f"{path}/children", "rb") as file:  # noqa: PTH123 - often
                    found += map(int, file.read().split())
            except FileNotFoundError:
                if os.path.exists(path):  # noqa: PTH110 - as above
                    return None
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def descendants(
    roots: Iterable[int], children: Mapping[int, Sequence[int]]
) -> set[int]:
    """Return these processes and all their descendants.

    The table is no snapshot: with pids that are used again while it is read, somebody
    may seem to be his own ancestor.
    """
    found: set[int] = set()
    todo = list(roots)
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo += children.get(pid, ())
    return found


def faults(pid: int) -> int:
    """Return how many pages a process has had mapped without a disk (minflt)."""
    fields = _stat(pid)
    return 0 if fields is None else int(fields[7])


def resident(pid: int) -> int:
    """Return the bytes that a process has in memory, shared ones too; 0 if gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * mmap.PAGESIZE


def peak_resident(pid: int) -> int:
    """Return the most bytes that a process has had in memory; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return 0
    sizes = (line.split() for line in text.splitlines() if line.startswith("VmHWM:"))
    return next((int(size) << 10 for _, size, _ in sizes), 0)


def _stat(pid: int) -> list[str] | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - of thousands
            text = file.read().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and parentheses; the state follows the last one.
    return text.rpartition(")")[2].split()


class ProcessEntry(NamedTuple):
    """One line of the table of processes: its parent, and when it began (ticks)."""

    parent: int
    start: int


def all_processes() -> dict[int, ProcessEntry]:
    """Return every process of this host that lives, by pid (proc(5), stat).

    Those of others, where /proc hides them (hidepid), are left out.
    """
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names alone, and fast
        if not name.isdigit():
            continue
        with suppress(PermissionError):
            fields = _stat(int(name))
            if fields is not None and fields[0] not in "ZX":
                found[int(name)] = ProcessEntry(int(fields[1]), int(fields[19]))
    return found


def by_parent(entries: Mapping[int, ProcessEntry]) -> dict[int, list[int]]:
    """Return the children of each process that has any."""
    found: dict[int, list[int]] = {}
    for pid, entry in entries.items():
        found.setdefault(entry.parent, []).append(pid)
    return found


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
