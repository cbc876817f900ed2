"""`resqued top`: one look, and the live view on a terminal."""

from __future__ import annotations

import codecs
import json
import os
import pty
import select
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from tests.support.cli import RESQUED, Run, rows
from tests.support.daemon import Daemon, clean_environment
from tests.support.pool import pool
from tests.support.wait import scaled, wait_until

ENTER, LEAVE, SHOW_CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


POOL_CONFIG = '[limits]\nruntime = "2h"\nmemory = "1G"\n'


def begin(client: resqued.Client, redis: redis_py.Redis) -> None:
    """Have one of the two workers run a job, which is limited."""
    client.enqueue_to("default", "Nap", 300)
    assert redis.blpop("started", scaled(30))


@pytest.fixture
def busy(daemon: Daemon, client: resqued.Client, redis: redis_py.Redis) -> Daemon:
    """A pool of two, one of which runs a job."""
    begin(client, redis)
    return daemon


def test_one_look_where_there_is_no_terminal(run: Run, busy: Daemon) -> None:
    wait_until(
        lambda: {"Nap", "idle"} <= set(run("top").stdout.split()),
        what="a worker with the job, and one without",
    )
    head, serves, titles, runs, idle = rows(run("top"))
    assert head[0].startswith(f"master {busy.pid} running, generation 1, up ")
    assert serves[0].startswith("default: 2; redis://")
    assert titles == [
        *("PID", "GEN", "STATE", "CPU %", "MEMORY", "OF", "TIME", "OF"),
        *("QUEUE", "JOB"),
    ]
    pids = {int(runs[0]), int(idle[0])}
    assert pids == set(busy.workers())
    assert runs[1:3] == ["1", "working"]
    assert runs[5:] == ["1 GB", runs[6], "2h00m", "default", "Nap"]
    assert idle[2] == "idle"


def test_json_has_all_of_it(run: Run, busy: Daemon) -> None:
    wait_until(lambda: "Nap" in run("top").stdout)
    (status,) = json.loads(run("top", "--json").stdout)
    assert status["pid"] == busy.pid
    (worker,) = [w for w in status["workers"] if w["child"]]
    assert worker["job"] == {"queue": "default", "class": "Nap"}
    assert worker["limits"] == {"runtime": 7200, "memory": 1 << 30}
    assert worker["memory"] > 0
    assert worker["cpu"] >= 0
    assert run("top", "--json", "--pid", str(busy.pid)).exit_code == 0


class Terminal:
    """A command on a terminal of its own, and what it has written there."""

    def __init__(self, *args: str) -> None:
        self._ours, self._theirs = pty.openpty()
        self._before = termios.tcgetattr(self._theirs)
        self.shown = ""
        # A letter may come in two pieces.
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.process = subprocess.Popen(
            [*RESQUED, *args],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env={**clean_environment(), "TERM": "xterm", "COLUMNS": "140"},
        )

    def read(self) -> str:
        """Return all that there is to see up to now."""
        while select.select([self._ours], [], [], 0)[0]:
            self.shown += self._decoder.decode(os.read(self._ours, 65536))
        return self.shown

    def strike(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def is_clean(self) -> bool:
        """Say whether the terminal is as it was, and so is what stood there."""
        shown = self.read()
        is_left = shown.rfind(LEAVE) > shown.rfind(ENTER) >= 0
        return (
            is_left
            and shown.rstrip().endswith((SHOW_CURSOR, LEAVE))
            and SHOW_CURSOR in shown
            and termios.tcgetattr(self._theirs) == self._before
        )

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._theirs)


@contextmanager
def live(*args: str) -> Iterator[Terminal]:
    terminal = Terminal("top", *args)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize("way", ["q", "Ctrl-C"])
def test_the_live_view_leaves_a_clean_terminal(busy: Daemon, way: str) -> None:
    with live("--interval", "0.2") as terminal:
        wait_until(lambda: "Nap" in terminal.read(), what="the job")
        # It continues looking, and takes no notice of other keys.
        seen = terminal.shown.count("master ")
        terminal.strike("x")
        wait_until(lambda: terminal.read().count("master ") > seen + 1)
        assert terminal.process.poll() is None
        assert f"master {busy.pid} running" in terminal.shown
        if way == "q":
            terminal.strike("q")
        else:
            terminal.process.send_signal(signal.SIGINT)
        wait_until(lambda: terminal.read() and terminal.process.poll() is not None)
        assert terminal.process.returncode == 0
        # What it wrote last may come a moment after its end.
        wait_until(terminal.is_clean, what="a clean terminal")


def test_the_live_view_outlives_the_master(
    redis_url: str,
    redis: redis_py.Redis,
    client: resqued.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        pool(redis_url, tmp_path) as daemon,
        monkeypatch.context() as patch,
    ):
        patch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_directory))
        daemon.wait_for_event("master_ready")
        begin(client, redis)
        watch_the_end_of(daemon)


def watch_the_end_of(daemon: Daemon) -> None:
    with live("--interval", "0.2") as terminal:
        wait_until(lambda: "Nap" in terminal.read(), what="the job")
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        wait_until(lambda: "no master runs here any more" in terminal.read())
        terminal.strike("q")
        wait_until(lambda: terminal.read() and terminal.process.poll() is not None)
        assert terminal.process.returncode == 0
        # What it wrote last may come a moment after its end.
        wait_until(terminal.is_clean, what="a clean terminal")


@pytest.mark.parametrize("value", ["0", "-1s", "x", "nan", "2h"])
def test_an_interval_is_a_time(run: Run, value: str) -> None:
    result = run("top", "--interval", value, fails=SystemExit)
    assert result.exit_code == 2
    assert "Invalid value for '--interval'" in result.output
