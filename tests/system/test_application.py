"""The process belongs to the application, too: what it changes, declares and forks."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from tests.support.daemon import RESQUED, Daemon, clean_environment
from tests.support.pool import count, failures, pool
from tests.support.wait import wait_until

PATCHES = {
    "default-timeout": "import socket; socket.setdefaulttimeout(0.2)",
    "poll": "import select; select.poll = select.select = select.epoll = None",
    "fork": "import os; os.fork = os.forkpty = None",
    "os": "import os; os.close = os.waitpid = os.pipe = os.dup2 = None",
    "json": "import json; json.loads = json.dumps = json.JSONDecoder = None",
    # For exact numbers, and for objects of the application's own.
    "json-defaults": (
        "import decimal, json\n"
        "json._default_decoder = "
        "json.JSONDecoder(parse_float=decimal.Decimal, parse_int=str)\n"
        "json._default_encoder = json.JSONEncoder(indent=2, sort_keys=True)\n"
        "json.JSONEncoder = None"
    ),
    "struct-mmap": "import struct, mmap; struct.pack = mmap.mmap = None",
    "time": "import time; time.time = time.monotonic = lambda: 0.0",
    "open": "import builtins; builtins.open = None",
    "streams": "import sys; sys.stdout = sys.stderr = None",
    # As PySocks does, for a proxy that does not lead to Redis.
    "sockets": (
        "import socket\n"
        "def no(*args, **kwargs): raise OSError('by the proxy')\n"
        "socket.socket = socket.getaddrinfo = socket.create_connection = no"
    ),
    # As scripts do; and a library that reaps by itself.
    "signals": (
        "import signal\n"
        "for name in ('SIGPIPE', 'SIGTERM'): "
        "signal.signal(getattr(signal, name), signal.SIG_DFL)\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    ),
    # As code does that makes a daemon of its process.
    "descriptors": "import os; os.closerange(0, 256)",
    "own-files": (
        "import os; os.closerange(0, 256); kept = [open('own', 'w') for _ in range(9)]"
    ),
    "modules": (
        "import sys, types\n"
        "class Slots: __slots__ = ()\n"
        "class Lazy(types.ModuleType):\n"
        "    def __getattribute__(self, name): raise ImportError('an extra')\n"
        "sys.modules['patching.a'] = None\n"
        "sys.modules['patching.b'] = Slots()\n"
        "sys.modules['patching.c'] = Lazy('patching.c')"
    ),
}

APPLICATION = """
{patch}
import asyncio, os, pathlib, resqued, signal, time

@resqued.job(name="Note")
def note(text):
    with pathlib.Path("notes").open("a") as file:
        file.write(text + "\\n")

@resqued.job(name="Sleeps")
async def sleeps(seconds):
    note(f"began {{seconds}}")
    try:
        await asyncio.sleep(seconds)
        note(f"slept {{seconds}}")
    finally:
        note(f"left {{seconds}}")

class Form:
    queue = "default"
    @staticmethod
    async def perform(text):
        await asyncio.sleep(0)
        note(text)

class Yields:
    @staticmethod
    def perform():
        yield 1

@resqued.job(name="Forks")
def forks():
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, b"here")
            time.sleep(600)
        except BaseException:
            os._exit(1)
    os.read(reader, 4)
    os.kill(pid, signal.SIGTERM)
    note(f"forked {{os.waitpid(pid, 0)[1]}}")
"""


def notes(place: Path) -> list[str]:
    file = place / "notes"
    return file.read_text().splitlines() if file.exists() else []


def application(place: Path, patch: str = "") -> tuple[str, ...]:
    (place / "patching.py").write_text(APPLICATION.format(patch=patch))
    return ("-a", "patching")


@pytest.mark.parametrize("patch", sorted(PATCHES))
def test_what_an_application_patches_changes_nothing_here(
    patch: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, *application(tmp_path, PATCHES[patch])) as running:
        running.wait_for_event("master_ready")
        for number in range(3):
            client = resqued.Client(redis_url)
            client.enqueue_to("default", "Note", f"job {number}")
            wait_until(lambda n=number: len(notes(tmp_path)) > n, what="the job")
            wait_until(lambda n=number: count(redis, "processed") > n, what="its end")
            # What is written to a closed connection is no reason to die.
            redis.client_kill_filter(_type="normal", skipme=True)
        assert running.events("worker_died") == []
    assert failures(redis) == []
    for own in tmp_path.glob("own"):
        assert own.read_bytes() == b""


def test_what_is_declared_runs_or_fails_and_what_it_forks_ends_like_any_process(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    config = "[limits]\nruntime = '20s'\n"
    with pool(redis_url, tmp_path, *application(tmp_path), config=config) as running:
        running.wait_for_event("master_ready")
        client = resqued.Client(redis_url)
        client.enqueue_to("default", "Sleeps", 0.01)
        client.enqueue_to("default", "patching.Form", "form")
        client.enqueue_to("default", "patching.Yields")
        client.enqueue_to("default", "Forks")
        wait_until(lambda: count(redis, "processed") == 4, what="four jobs")
        told = ["began 0.01", "slept 0.01", "left 0.01", "form"]
        assert notes(tmp_path) == [*told, f"forked {int(signal.SIGTERM)}"]
        (failure,) = failures(redis)
        assert "of which nothing ran" in failure["error"]
        # A loop lets no exception out of its callbacks: the job is cancelled.
        client.enqueue_to("default", "Sleeps", 600)
        wait_until(lambda: "began 600" in notes(tmp_path), what="the job")
        (worker,) = running.workers()
        os.kill(worker, signal.SIGUSR1)
        wait_until(lambda: len(failures(redis)) == 2, what="its failure")
        assert notes(tmp_path)[-1] == "left 600"
    assert "SIGUSR1" in json.dumps(failures(redis)[-1])


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\0b", b"\x1b[2J", b"x" * 100_000])
def test_a_queue_of_any_name_is_served_and_shown_while_workers_are_idle(
    name: bytes, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, queues="*", workers=2) as running:
        running.wait_for_event("master_ready")
        for number in range(2):
            redis.rpush(b"resque:queue:" + name, b'{"class":"Run","args":[1]}')
            redis.sadd("resque:queues", name)
            wait_until(lambda n=number: count(redis, "processed") > n, what="the job")
        running.wait_for_event("job_performed")
        assert not running.events("worker_died") + running.events("worker_failed")


def test_a_reader_of_the_log_that_stands_still_stops_no_job_and_no_signal(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    application(tmp_path)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    command = [*RESQUED, "default", "-r", redis_url, "-a", "patching"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
    ) as master:
        os.close(writer)
        client = resqued.Client(redis_url)
        for number in range(30):
            client.enqueue_to("default", "Note", f"{number}")
        wait_until(lambda: count(redis, "processed") == 30, what="all jobs")
        lines: list[Any] = []
        with os.fdopen(reader, errors="replace") as log:
            thread = threading.Thread(target=lambda: lines.extend(log))
            thread.start()
            client.enqueue_to("default", "Note", "the last")
            wait_until(lambda: count(redis, "processed") == 31, what="the last job")
            master.terminate()
            assert master.wait(60) == 0
            thread.join(60)
    events = [json.loads(line)["event"] for line in lines]
    assert "log_lines_dropped" in events


def test_what_does_not_work_is_said_when_the_application_starts(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "hooked.py").write_text(
        "class Job:\n"
        "    queue = 'default'\n"
        "    def before_perform_check(*_): ...\n"
        "    @staticmethod\n"
        "    def perform(): ...\n"
    )
    # The master does not read what is in this file: it is for the application.
    (tmp_path / "environment").write_text("FAILURE_BACKEND=redis_multi_queue\n")
    (tmp_path / "r.toml").write_text('[app]\nenvironment = "environment"\n')
    options = ("-c", "r.toml", "-a", "hooked", "-r", redis_url, "--burst")
    with Daemon("default", *options, cwd=tmp_path) as daemon:
        assert daemon.wait() == 0
        (wrong,) = daemon.events("hooks_invalid")
        (said,) = wrong["hooks"]
        assert said.startswith("hooked.Job.before_perform_check must be a static")
        (backend,) = daemon.events("failure_backend_ignored")
        assert backend["backend"] == "redis_multi_queue"


def test_the_development_mode_of_python_has_nothing_to_warn_of(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """It tells of sockets that nobody has closed, in workers that end, for example."""
    client = resqued.Client(redis_url)
    mode = {"PYTHONDEVMODE": "1"}
    with pool(redis_url, tmp_path, workers=2, env=mode) as running:
        running.wait_for_event("master_ready")
        client.enqueue_to("default", "Run", 1)
        client.enqueue_to("default", "Fail", 2)
        client.enqueue_to("default", "Sleep", 60)
        wait_until(lambda: redis.llen("started") == 1, what="the job to start")
        running.signal(signal.SIGHUP)
        running.wait_for_event("reload_done")
        running.signal(signal.SIGUSR1)
        wait_until(lambda: len(failures(redis)) == 2, what="the job to be ended")
        running.signal(signal.SIGQUIT)
        assert running.wait() == 0
    assert "Warning" not in running.log()
