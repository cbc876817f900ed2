"""The operating system's processes: fork, spawn, signals, titles, proc(5)."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NewType, NoReturn

# Set before the import, or setproctitle clears /proc/<pid>/environ, which people read.
os.environ.setdefault("SPT_NOENV", "1")


from resqued.core.exit_status import LEFT_WELL, Exit
from resqued.system import procfs, signals

Pid = NewType("Pid", int)

_TICKS = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None)
_waitpid = _libc.waitpid
_ptrace = _libc.ptrace
_PTRACE_DETACH = 17
# hot path: libc-exit
_exit: Callable[[int], NoReturn] = _libc._exit
# Some C libraries do not have it.
_tgkill = getattr(_libc, "tgkill", None)


def reserve_title_space() -> None:
    """Let titles be longer than the arguments of this process.

    A long title then overwrites the environment in /proc/<pid>/environ. Must be
    called before the first title is set.
    """
    os.environ.pop("SPT_NOENV", None)


def fork_child(main: Callable[..., int], *args: object) -> Pid:
    """Fork, and return the child's pid; the child calls main and exits with its result.

    A process with a SignalInbox has its signals blocked, and so has the child until
    main calls signals.unblock: a signal that arrives earlier is not lost. The child
    leads its own process group. Both sides call setpgid, so that the group exists
    before either of them continues.
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
    """Run main and exit, with status 70 if it raises; never unwind parent's frames."""
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
    """Start a program and return its pid.

    The program has `descriptor` as number 3 and /dev/null as standard input. It
    writes to the standard output and error of this process, or to the descriptor
    `output`. It leads its own process group, so that Ctrl-C reaches only this
    process, and starts with its signals blocked. Raises OSError if it cannot be
    started.
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
    ]
    if output is not None:
        actions += [(os.POSIX_SPAWN_DUP2, output, fd) for fd in (1, 2)]
    # Last, because `output` may be descriptor 3.
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
    """Return True if this process has running children; dead ones are reaped."""
    # hot path: libc-waitpid
    while (pid := _waitpid(-1, None, os.WNOHANG)) > 0:
        pass
    return bool(pid == 0)


def apply_rlimits(open_files: int, core_size: int) -> None:
    """Set the resource limits of this process.

    `open_files` is a number of descriptors and `core_size` a number of bytes; -1 leaves
    a limit as it is. Hard limits are never raised: a larger value means the hard limit.
    """
    wanted = ((resource.RLIMIT_NOFILE, open_files), (resource.RLIMIT_CORE, core_size))
    for which, value in wanted:
        if value < 0:
            continue
        _, hard = resource.getrlimit(which)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (limit, limit))


def reset_oom_score() -> None:
    """Set a negative oom_score_adj of this process to 0 (proc(5)).

    systemd may protect a service from OOM kills; only its master needs that. Processes
    that are forked from this one inherit the value.
    """
    score = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):
        if int(score.read_text("ascii")) < 0:
            score.write_text("0", "ascii")


def reap() -> list[tuple[Pid, Exit]]:
    """Reap every child that has ended; return pids and how they ended.

    The list includes orphans that a subreaper has adopted.
    """
    ended: list[tuple[Pid, Exit]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if status and os.WIFSTOPPED(status):
            _stop_tracing(pid, os.WSTOPSIG(status))
        else:
            ended.append((Pid(pid), _how(status)))


def _stop_tracing(pid: int, signum: int) -> None:
    """Let a child continue that a signal has stopped; the child gets the signal.

    The kernel reports such a stop only of a child that asks to be traced
    (PTRACE_TRACEME). That makes this process its tracer, which it is not meant to be.
    SIGTRAP is that of an execve(2) of the child, and is not passed on.
    """
    passed = 0 if signum == signal.SIGTRAP else signum
    _ptrace(_PTRACE_DETACH, pid, None, ctypes.c_void_p(passed))


def _how(status: int) -> Exit:
    # hot path: made-once
    if status == 0:
        return LEFT_WELL
    return Exit(os.waitstatus_to_exitcode(status), os.WCOREDUMP(status))


def describe(pid: int, uid: int, signum: int = 0) -> str:
    """Return a process as text for a log: its pid, its name and the given uid.

    A pid of 0 is that of the kernel, which sends `signum` for a key of a terminal.
    """
    if pid == 0:
        is_key = signum in (signal.SIGINT, signal.SIGQUIT)
        return "the terminal" if is_key else "the kernel"
    try:
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
    except OSError:
        name = "gone"
    return f"{pid} ({name}), uid {uid}"


def title(pid: int) -> str:
    """Return the command line that `ps` shows for a process; "" if it is gone."""
    words = procfs.command_line(pid).split(b"\0")
    return b" ".join(words).decode("utf-8", "replace").strip()


def send(pid: int, signum: int) -> None:
    """Send a signal to one process, unless it is gone; may raise PermissionError."""
    with suppress(ProcessLookupError):
        os.kill(pid, signum)


def send_main_thread(pid: int, signum: int) -> None:
    """Send a signal to the main thread of one process; do nothing if it is gone.

    After a stop the kernel may deliver a signal for the process to any of its
    threads. Python runs handlers in the main thread, whose system call would then not
    be interrupted. Without tgkill(2) in the C library the process gets the signal.
    """
    if _tgkill is None:
        send(pid, signum)
    else:
        _tgkill(pid, pid, signum)


def send_group(pid: int, signum: signal.Signals) -> None:
    """Send a signal to the group of `pid`, if it exists and belongs to this user."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signum)


@cache
def hostname() -> str:
    """Return the host name of gethostname(2), which need not be fully qualified."""
    return socket.gethostname()


def host_in_ids(configured: str) -> str:
    """Return the host in worker ids, without colons: they separate an id's parts."""
    return (configured or hostname()).replace(":", "-")


@cache
def boot_id() -> str:
    """Return the id of this boot of this host (proc(5), boot_id)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


# The time namespace of a host (PROC_TIME_INIT_INO of linux/proc_ns.h).
_HOST_TIME = "time:[4026531834]"


@cache
def namespaces() -> str:
    """Return the pid namespace of this process; containers have their own.

    The time namespace follows if it is not that of the host (time_namespaces(7)): each
    has another time since boot, and with it other start times of all processes.
    """
    pids = str(Path("/proc/self/ns/pid").readlink())
    try:
        clock = str(Path("/proc/self/ns/time").readlink())
    except OSError:  # before Linux 5.6
        return pids
    return pids if clock == _HOST_TIME else f"{pids} {clock}"


def learn_host() -> None:
    """Read what all processes of this host share; a forked process then knows it."""
    hostname(), boot_id(), namespaces()


def start_time(pid: int) -> int | None:
    """Return when a process started, in ticks since boot; None if it does not exist.

    Together with the boot id it distinguishes a process from a later one with the
    same pid, and does not depend on a clock (proc(5), /proc/pid/stat, field 22).
    """
    fields = procfs.stat_fields(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def faults(pid: int) -> int:
    """Return the minor page faults of a process so far (proc(5), minflt); 0 if gone."""
    fields = procfs.stat_fields(pid)
    return 0 if fields is None else int(fields[7])


def resident(pid: int) -> int:
    """Return a process's RSS in bytes, shared pages in full; 0 if it is gone."""
    return procfs.resident_pages(pid) * mmap.PAGESIZE


def peak_resident(pid: int) -> int:
    """Return the peak of a process's resident memory in bytes; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return 0
    sizes = (line.split() for line in text.splitlines() if line.startswith("VmHWM:"))
    return next((int(size) << 10 for _, size, _ in sizes), 0)


def ticks() -> int:
    """Return the current time in ticks since boot, as start_time counts them."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS)


def threads() -> list[str]:
    """Return the names of the threads of this process other than the main thread.

    A process that has any must not fork: locks that they hold are never released in
    the child. A thread that Python does not know has the name that proc(5) has for it,
    or OPENBLAS if it has none of its own and that library is loaded.
    """
    others = [t for t in threading.enumerate() if t is not threading.main_thread()]
    found = [thread.name for thread in others]
    # `native_id` of the main thread may be that of the process before a fork.
    known = {os.getpid(), *(thread.native_id for thread in others)}
    ours = _thread_name(os.getpid())
    for tid in map(int, os.listdir("/proc/self/task")):  # noqa: PTH208
        if tid not in known:
            name = _thread_name(tid)
            if name in ("", ours):
                found.append(OPENBLAS if _has_openblas() else "(not Python's)")
            else:
                found.append(f"{name} (not Python's)")
    return found


# How threads are named that are very probably those of the library that NumPy uses.
OPENBLAS = "(OpenBLAS)"


def _thread_name(tid: int) -> str:
    """Return the name of a thread of this process; "" if it is gone."""
    with suppress(OSError):
        return Path(f"/proc/self/task/{tid}/comm").read_text("utf-8", "replace").strip()
    return ""


def _has_openblas() -> bool:
    return b"openblas" in Path("/proc/self/maps").read_bytes()
