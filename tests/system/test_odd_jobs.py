"""Jobs that harm their child, its pipe or its scoreboard: the harm is theirs alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from tests.support.daemon import Daemon
from tests.support.pool import count, failures
from tests.support.wait import wait_until

APP = """
import asyncio, gc, json, logging, os, redis, resqued, signal, struct, sys, time

def job(function):
    return resqued.job(queue="a", name=function.__name__)(function)

def note(key):
    redis.Redis.from_url(os.environ["TEST_REDIS_URL"]).rpush(key, "1")

@job
def fine(): note("fine")

# What a job may do to the scoreboard of its worker

def board():
    for name in os.listdir("/proc/self/fd"):
        if "resqued-board" in os.readlink(f"/proc/self/fd/{name}"):
            return int(name)

def status(*values):
    os.pwrite(board(), struct.pack("=Q", 0) + struct.pack("=IIdq", *values), 0)

def truncate(size):
    try:
        os.ftruncate(board(), size)
    except PermissionError:
        status(99, 0, 0.0, 0)

now, me = time.monotonic, os.getpid
SPOIL = {
    "phase": lambda: status(99, me(), now(), 0),
    "nan": lambda: status(3, me(), float("nan"), 0),
    "inf": lambda: status(3, me(), float("-inf"), 0),
    "init": lambda: status(3, 1, now(), 0),
    "huge pid": lambda: status(3, 2**32 - 1, now(), 0),
    "the master": lambda: status(3, int(os.environ["MASTER"]), now(), 0),
    "cut off": lambda: truncate(0),
    "made large": lambda: truncate(1 << 30),
    "every byte": lambda: os.pwrite(board(), b"\\xff" * 4096, 0),
    "random": lambda: os.pwrite(board(), os.urandom(4096), 0),
}

@job
def spoil(how):
    worker = open(f"/proc/{os.getppid()}/stat").read()
    os.environ["MASTER"] = worker.rpartition(")")[2].split()[1]
    SPOIL[how]()
    time.sleep(120)

@resqued.job(queue="a", name="widen", timeout=5)
def widen():
    time.sleep(3)  # the master looks at it every second
    limits = struct.pack("=qdqd", me(), 0.0, 0, 0.0)
    os.pwrite(board(), struct.pack("=Q", 0) + 2 * limits, 256)
    time.sleep(120)

# What a job may do to the pipe of its child

def pipe():
    return next(o for o in gc.get_objects() if type(o).__name__ == "ChildEnd")

@job
def stay():
    pipe().tell(None, stays=True)
    time.sleep(120)

@job
def zeros():
    for name in os.listdir("/proc/self/fd"):
        try:  # that of the list is closed by now
            if int(name) > 2 and os.readlink(f"/proc/self/fd/{name}")[:5] == "pipe:":
                os.write(int(name), bytes(16))
        except OSError:
            pass

@job
def close(): os.closerange(3, 256)

@job
def close_and_raise():
    os.closerange(3, 256)
    raise ValueError("the reason")

@job
def close_and_open(folder, seconds):
    global kept
    os.closerange(3, 256)
    kept = [open(f"{folder}/data{n}", "wb", buffering=0) for n in range(12)]
    for file in kept:
        file.write(b"data")
    time.sleep(seconds)

# What goes wrong beside the job

class Leaves(Exception):
    def __str__(self): sys.exit("from __str__")

class Strange(str):
    def __getitem__(self, index): raise RuntimeError

class Odd(Exception):
    def __str__(self): return Strange("odd")

class Meta(type):
    __module__ = property(lambda cls: 1 / 0)

class Classless(Exception, metaclass=Meta): pass

Long = type("N" * 40_000_000, (Exception,), {})

@job
def raise_(name): raise globals()[name]("x")

@job
def trace(): sys.settrace(lambda *a: 1 / 0)

# What is flushed after a job

class Stream:
    def __init__(self, error): self.error = error
    def write(self, text): return len(text)
    def flush(self): raise self.error("by the stream")

class Handler(logging.Handler):
    def flush(self): sys.exit("by the handler")

@job
def break_streams(is_failing):
    sys.stdout, sys.stderr = Stream(RuntimeError), Stream(SystemExit)
    logging.getLogger("odd").addHandler(Handler())
    if is_failing:
        raise ValueError("the reason")

# What an event loop makes of the end of a job

async def spin():
    while True:
        sum(range(2000))
        await asyncio.sleep(0)

async def call_back():
    loop = asyncio.get_running_loop()
    def again():
        sum(range(20000))
        loop.call_soon(again)
    again()
    await asyncio.sleep(120)

async def both(): await asyncio.gather(spin(), spin())

async def block(): time.sleep(120)

@resqued.job(queue="a", name="coroutine", timeout=1)
async def coroutine(name):
    try:
        await globals()[name]()
    except (asyncio.CancelledError, resqued.JobTimeout):
        note("cleaned")
        raise

@resqued.job(queue="a", name="loop", timeout=1)
def loop(name):
    async def main():
        try:
            await globals()[name]()
        finally:
            note("cleaned")
    try:
        asyncio.run(main())
    except resqued.JobTimeout as error:
        redis.Redis.from_url(os.environ["TEST_REDIS_URL"]).rpush("caught", str(error))
        raise
"""


@contextmanager
def odd_pool(url: str, tmp_path: Path, *args: str, **options: Any) -> Iterator[Daemon]:
    (tmp_path / "odd.py").write_text(APP)
    with Daemon(
        *("a", "-r", url, "-a", "odd", *args),
        cwd=tmp_path,
        env={"TEST_REDIS_URL": url},
        **options,
    ) as daemon:
        daemon.wait_for_event("master_ready")
        yield daemon


def run(url: str, redis: redis_py.Redis, name: str, *args: object) -> None:
    """Enqueue a job and wait until its run is recorded."""
    before = count(redis, "processed")
    resqued.Client(url).enqueue_to("a", name, *args)
    wait_until(lambda: count(redis, "processed") > before, what=f"the end of {name}")


def test_a_job_that_spoils_its_scoreboard_is_ended_and_harms_nobody_else(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    ways = "phase|nan|inf|init|huge pid|the master|cut off|made large|every byte|random"
    with odd_pool(redis_url, tmp_path, "-n", "4") as daemon:
        master, workers = daemon.pid, daemon.workers()
        for way in ways.split("|"):
            client.enqueue_to("a", "spoil", way)
            client.enqueue_to("a", "fine")
        wait_until(lambda: len(failures(redis)) == 10, what="ten failures")
        wait_until(lambda: redis.llen("fine") == 10, what="the other jobs")
        assert daemon.pid == master
        assert daemon.workers() == workers
        assert not daemon.events("worker_died")
    assert {entry["exception"] for entry in failures(redis)} == {
        "Resque::TermException"
    }
    for entry in failures(redis):
        assert "wrote on the scoreboard" in entry["error"], entry["payload"]


def test_a_job_cannot_widen_its_limits_once_they_are_known(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with odd_pool(redis_url, tmp_path):
        run(redis_url, redis, "widen")
    (entry,) = failures(redis)
    assert entry["exception"] == "JobTimeout"
    assert "runtime limit of 5s exceeded" in entry["error"]


@pytest.mark.parametrize("name", ["stay", "zeros"])
def test_a_job_that_writes_into_its_pipe_has_failed(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path, name: str
) -> None:
    config = tmp_path / "resqued.toml"
    config.write_text("[worker]\nexit_grace = '300ms'\n")
    with odd_pool(redis_url, tmp_path, "-c", str(config)):
        run(redis_url, redis, name)
        run(redis_url, redis, "fine")
    (entry,) = failures(redis)
    assert "wrote into the pipe" in entry["error"]
    assert redis.llen("fine") == 1


@pytest.mark.parametrize("jobs_per_child", [1, 3])
def test_a_job_that_closes_every_descriptor_is_recorded_as_it_ended(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path, jobs_per_child: int
) -> None:
    config = tmp_path / "resqued.toml"
    config.write_text(
        f"[worker]\njobs_per_child = {jobs_per_child}\n"
        "[limits.class.close_and_open]\nruntime = '1s'\n"
    )
    with odd_pool(redis_url, tmp_path, "-c", str(config)):
        for name in ("close", "fine", "close_and_raise", "fine"):
            run(redis_url, redis, name)
        run(redis_url, redis, "close_and_open", str(tmp_path), 0)
        run(redis_url, redis, "close_and_open", str(tmp_path), 120)
        run(redis_url, redis, "fine")
    raised, ended = failures(redis)
    assert (raised["exception"], raised["error"]) == ("ValueError", "the reason")
    assert ended["exception"] == "JobTimeout"
    assert redis.llen("fine") == 3
    assert {f.read_bytes() for f in tmp_path.glob("data*")} == {b"data"}


@pytest.mark.parametrize("jobs_per_child", [1, 3])
def test_a_job_that_leaves_broken_streams_is_recorded_as_it_ended(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path, jobs_per_child: int
) -> None:
    config = tmp_path / "resqued.toml"
    config.write_text(f"[worker]\njobs_per_child = {jobs_per_child}\n")
    with odd_pool(redis_url, tmp_path, "-c", str(config)) as daemon:
        for is_failing in (0, 1, 0):
            run(redis_url, redis, "break_streams", is_failing)
        run(redis_url, redis, "fine")
        assert daemon.events("child_failed") == []
    (failure,) = failures(redis)
    assert (failure["exception"], failure["error"]) == ("ValueError", "the reason")
    assert redis.llen("fine") == 1


def test_whatever_goes_wrong_beside_a_job_has_a_reason(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with odd_pool(redis_url, tmp_path, may_log_tracebacks=True) as daemon:
        for name in ("Leaves", "Odd", "Classless", "Long"):
            run(redis_url, redis, "raise_", name)
        run(redis_url, redis, "trace")
        (failed,) = daemon.wait_for_event("child_failed")
    leaves, odd, classless, long, trace = failures(redis)
    assert long["exception"].startswith("odd.NNNN")
    assert (len(long["exception"]), long["error"]) == (1_000, "x")
    assert leaves["exception"] == "odd.Leaves"
    assert "SystemExit" in leaves["error"]
    assert (odd["exception"], odd["error"]) == ("odd.Odd", "odd")
    assert (classless["exception"], "ZeroDivisionError" in classless["error"]) == (
        "Classless",
        True,
    )
    assert "ZeroDivisionError: division by zero" in trace["error"]
    assert "ZeroDivisionError: division by zero" in failed["error"]


def test_an_import_that_ends_its_process_is_told_of_with_the_way_out(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "odd.py").write_text("import os; os._exit(3)")
    # As after `pip install` of another version.
    installed = tmp_path / "site" / "resqued-9.9.9.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Name: resqued\nVersion: 9.9.9\n")
    with Daemon(
        *("a", "-r", redis_url, "-a", "odd"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed.parent)},
    ) as daemon:
        assert daemon.wait() == 70
        last = daemon.log().splitlines()[-1]
        assert {e["error"] for e in daemon.events("zygote_died")} == {
            (
                "the zygote exited with status 3 while it imported odd; resqued 9.9.9"
                f" is installed, and this master runs {resqued.__version__}:"
                " `resqued reload --master` replaces it"
            )
        }
    assert last.startswith("resqued: the zygote exited with status 3 while it imported")


@pytest.mark.parametrize("name", ["spin", "block"])
def test_a_limit_ends_a_coroutine(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path, name: str
) -> None:
    # One that does not end is not killed before this test is over.
    with odd_pool(redis_url, tmp_path, "--grace", "120"):
        run(redis_url, redis, "coroutine", name)
    (entry,) = failures(redis)
    assert entry["exception"] == "JobTimeout"
    assert redis.llen("cleaned") == 1


@pytest.mark.parametrize("name", ["call_back", "both"])
def test_a_limit_ends_the_event_loop_of_a_job(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path, name: str
) -> None:
    # A loop that does not end is not killed before this test is over.
    with odd_pool(redis_url, tmp_path, "--grace", "120"):
        began = time.monotonic()
        run(redis_url, redis, "loop", name)
        assert time.monotonic() - began < 120
    (entry,) = failures(redis)
    assert entry["exception"] == "JobTimeout"
    assert redis.llen("cleaned") == 1
    # What is raised in the job says what the limit was.
    (caught,) = redis.lrange("caught", 0, -1)
    assert caught.decode() == entry["error"]
    assert caught.startswith(b"runtime limit of 1s exceeded after ")
