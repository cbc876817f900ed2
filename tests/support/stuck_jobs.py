"""Jobs that outlive, outgrow or outnumber what they are allowed.

Loaded beside the jobs of the tests with `-a`. Each tells of its beginning before it
goes wrong, and of the processes that it starts.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import gc
import itertools
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import shared_memory
from typing import Any

import resqued
from resqued.execution.reporter import WorkerReporter
from resqued.store.runs import Runs
from tests.support.faults import wrap
from tests.support.jobs import note

# An application that takes much room, of which no job has any of its own.
PRELOADED = int(os.environ.get("TEST_PRELOADED", "0"))
heap = [bytearray(1 << 20) for _ in range(PRELOADED >> 20)]
objects = [{"number": n} for n in range(PRELOADED >> 11)]
for block in heap:
    for place in range(0, len(block), mmap.PAGESIZE):
        block[place] = 1

# How much is written at a time, and in a second. Slow enough for a busy machine to
# take notice in time; a job that does nothing else gets 1 GB and more.
STEP = 8 << 20
RATE = float(os.environ.get("TEST_FILL_RATE", "3e8"))


def job(name: str, **limits: Any) -> Any:
    return resqued.job(queue="default", name=name, **limits)


def begin(*pids: int) -> None:
    """Tell when the job began, and all processes of it so far."""
    pids = (os.getpid(), *pids)
    note("began", f"{time.monotonic()} {' '.join(map(str, pids))}")


# Ways of being stuck


def holds_the_gil() -> None:
    """A loop in C that asks for nothing: no thread, no handler gets a turn."""
    begin()
    collections.deque(itertools.repeat(None), maxlen=0)


def catches_everything() -> None:
    begin()
    while True:
        with contextlib.suppress(BaseException):
            while True:
                time.sleep(0.01)


def masks_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    begin()
    while True:
        time.sleep(1)


def is_stopped() -> None:
    begin()
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)


def deadlocks() -> None:
    """Two threads, each of which waits for the other's lock."""
    mine, yours = threading.Lock(), threading.Lock()
    both = threading.Barrier(2)

    def take(first: threading.Lock, second: threading.Lock) -> None:
        with first:
            both.wait()
            second.acquire()

    threads = [
        threading.Thread(target=take, args=locks)
        for locks in ((mine, yours), (yours, mine))
    ]
    for thread in threads:
        thread.start()
    begin()
    for thread in threads:
        thread.join()


def sleeps() -> None:
    begin()
    time.sleep(600)


def loops() -> None:
    begin()
    while True:
        pass


def waits_for_a_reply() -> None:
    """No time-out, and nobody who answers."""
    mine, _theirs = socket.socketpair()
    begin()
    mine.recv(1)


def waits_for_a_program() -> None:
    """One that takes no notice of SIGTERM, and whose own child takes none either."""
    script = "trap '' TERM; sleep 600 & echo $!; while :; do wait; done"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        begin(program.pid, int(program.stdout.readline()))


WAYS: dict[str, Callable[[], None]] = {
    way.__name__: way
    for way in (
        holds_the_gil,
        catches_everything,
        masks_signals,
        is_stopped,
        deadlocks,
        sleeps,
        loops,
        waits_for_a_reply,
        waits_for_a_program,
    )
}


@job("Stuck")
def stuck(way: str) -> None:
    WAYS.get(way, sleeps)()


@job("CleansUp")
def cleans_up() -> None:
    begin()
    try:
        time.sleep(600)
    finally:
        note("cleaned", type(sys.exception()).__name__)


@job("Returns")
def returns() -> None:
    """Be told that the time is up, and be content with what there is."""
    begin()
    with contextlib.suppress(resqued.JobTimeout):
        time.sleep(600)


@job("RaisesAnother")
def raises_another() -> None:
    begin()
    try:
        time.sleep(600)
    except resqued.JobTimeout:
        raise RuntimeError("no result") from None


@job("Declared", timeout="300ms")
def declared(_: str) -> None:
    time.sleep(600)


@job("Undeclared")
def undeclared(_: str) -> None:
    time.sleep(600)


# Memory


def fill(size: int, *, key: str = "filled", rate: float = RATE) -> list[mmap.mmap]:
    """Write to so many bytes of fresh memory; tell how far it came."""
    kept = []
    began = time.monotonic()
    page = b"x" * STEP
    progress = os.open(f"{key}-{os.getpid()}", os.O_CREAT | os.O_WRONLY)
    for done in range(STEP, size + 1, STEP):
        piece = mmap.mmap(-1, STEP, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        piece.write(page)
        kept.append(piece)
        # In place, at once: whenever it is killed, a number stands there.
        os.pwrite(progress, b"%12d" % done, 0)
        time.sleep(max(0.0, began + done / rate - time.monotonic()))
    os.close(progress)
    return kept


@job("Grow")
def grow(size: int) -> None:
    begin()
    fill(size)


kept: list[mmap.mmap] = []


@job("Keep")
def keep(size: int) -> None:
    """Grow, and never shrink."""
    kept.extend(fill(size))


@job("Spin")
def spin(seconds: float) -> None:
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        pass


@job("GrowDeclared", memory="200M")
def grow_declared(size: int) -> None:
    begin()
    fill(size)


@job("GrowOn")
def grow_on(size: int) -> None:
    """Take no notice of what is raised, and continue."""
    begin()
    kept: list[Any] = []
    while len(kept) * STEP < size:
        with contextlib.suppress(BaseException):
            while len(kept) * STEP < size:
                kept += fill(STEP, key=f"filled-{len(kept) * STEP}")


@job("GrowBelow")
def grow_below(size: int) -> None:
    """Grow in a grandchild, which has left the group and the session."""
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            fill(size)
        os._exit(0)
    os.waitpid(child, 0)
    begin()
    time.sleep(600)


@job("GrowTogether")
def grow_together(size: int, number: int) -> None:
    """Grow in several processes, each of which would be within the limit."""
    children = []
    for _ in range(number):
        child = os.fork()
        if child == 0:
            fill(size // number, rate=RATE / number)
            time.sleep(600)
        children.append(child)
    begin(*children)
    for child in children:
        os.waitpid(child, 0)


@job("Collect")
def collect(seconds: float = 0.0) -> None:
    """Collect garbage in an application that takes much room."""
    gc.collect()
    time.sleep(seconds)


@job("Spawn")
def spawn(number: int) -> None:
    """Fork and exec, each of which looks like twice the memory for a moment."""
    for _ in range(number):
        subprocess.run(["true"], check=True, preexec_fn=lambda: None)


# Processes left behind

SLEEP = ["sleep", "600"]


def _daemon() -> int:
    """Start a process that has no parent any more."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        daemon = os.fork()
        if daemon == 0:
            os.execvp(SLEEP[0], SLEEP)
        os.write(write, str(daemon).encode())
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(read, 20))


def _deaf() -> tuple[int, int]:
    """Start one that takes no notice of SIGTERM, and whose child takes none."""
    script = "trap '' TERM HUP INT; sleep 600 & echo $!; wait; wait; sleep 600"
    program = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    assert program.stdout is not None
    return program.pid, int(program.stdout.readline())


def _stopped() -> int:
    program = subprocess.Popen(SLEEP)
    program.send_signal(signal.SIGSTOP)
    return program.pid


@job("Beget")
def beget(seconds: float) -> None:
    """Start processes of every kind that survives a careless kill."""
    setsid = subprocess.Popen(SLEEP, start_new_session=True).pid
    begin(setsid, _daemon(), *_deaf(), _stopped())
    time.sleep(seconds)


@job("Bomb")
def bomb(number: int, seconds: float) -> None:
    """Start thousands of processes, half of them without parents; tell when."""
    begin()
    code = os.fork()
    if code == 0:
        os.setsid()
        for _ in range(number // 2):
            if os.fork() == 0:
                time.sleep(600)
        os._exit(0)
    for _ in range(number - number // 2):
        if os.fork() == 0:
            time.sleep(600)
    os.waitpid(code, 0)
    begin()
    time.sleep(seconds)


def _fork_on(path: str) -> None:
    """Start a process that forks and exits at once, as does what it forks.

    None of them can be named by its pid, but each holds the lock of a file.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
    os.close(fd)


@job("ForkOn")
def fork_on(path: str, seconds: float) -> None:
    """Leave a chain of processes behind, at the end or when it is told to end."""
    begin()
    try:
        time.sleep(seconds)
    finally:
        _fork_on(path)


@job("Share")
def share(name: str, seconds: float) -> None:
    """Fail, or be killed, while there is shared memory of that name."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    memory = shared_memory.SharedMemory(name=name, create=True, size=1 << 16)
    begin()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(1)
    raise ValueError(f"{memory.name} is there")


@job("Pretend")
def pretend() -> None:
    """Leave a process that is taken for a resource tracker, and never ends."""
    script = "sleep 600; : from multiprocessing.resource_tracker import main"
    begin(subprocess.Popen(["sh", "-c", script]).pid)


# Several jobs to a child, and its restraints


@job("Who")
def who(number: int = 0) -> None:
    note("who", f"{number} {os.getpid()} {os.getppid()}")


@job("Restraints")
def restraints() -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    core, _ = resource.getrlimit(resource.RLIMIT_CORE)
    note("restraints", f"{os.nice(0)} {files} {core}")


# A worker that hangs itself


def hang() -> None:
    """Hang for good, once."""
    try:
        os.close(os.open("has-hung", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    time.sleep(600)


match os.environ.get("TEST_WORKER_HANGS"):
    case "settling":
        wrap(Runs, "reserve", lambda _, ending: ending is not None and hang(), None)
    case "running":
        # The child is dead, and the worker does not get to say so.
        wrap(WorkerReporter, "ended", lambda *_: hang(), None)
