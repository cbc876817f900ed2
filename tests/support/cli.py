"""What the tests of the commands share: how to run them, what to put into Redis."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import redis as redis_py
from click.testing import Result

import resqued
from resqued.wire import payload, timestamps
from resqued.wire.payload import FailureInfo
from tests.support.daemon import clean_environment, start
from tests.support.fork_server import COMMAND
from tests.support.wait import scaled

NS = "resque:"
HOST = socket.gethostname()
RESQUED = COMMAND

Run = Callable[..., Result]


def add_failure(redis: redis_py.Redis, number: int = 1, **given: Any) -> str:
    """Append a failure, and return its id."""
    fields = {"class_name": "Boom", "queue": "mail", "error": "bad thing", **given}
    entry = payload.failure(
        FailureInfo("ValueError", fields["error"], ("frame one", "frame two")),
        payload=payload.encode_job(fields["class_name"], [number]).encode(),
        worker="h:1:mail",
        queue=fields["queue"],
        now=1_700_000_000 + number,
    )
    redis.rpush(f"{NS}failed", entry)
    return resqued.Failure(entry).id


def add_worker(redis: redis_py.Redis, worker_id: str, heartbeat: str = "") -> None:
    redis.sadd(f"{NS}workers", worker_id)
    if heartbeat:
        redis.hset(f"{NS}workers:heartbeat", worker_id, heartbeat)


def give_job(redis: redis_py.Redis, worker_id: str, run_at: str) -> None:
    record = {
        "queue": "mail",
        "run_at": run_at,
        "payload": {"class": "Slow", "args": [7]},
    }
    redis.set(f"{NS}worker:{worker_id}", json.dumps(record))


def server_time(redis: redis_py.Redis, ago: float = 0) -> str:
    return timestamps.heartbeat(redis.time()[0] - ago)


def rows(result: Result) -> list[list[str]]:
    return [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]


def run_command(
    *args: str, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own, without a terminal."""
    with TemporaryFile() as output, TemporaryFile() as errors:
        process = start(
            [*RESQUED, *args],
            cwd=cwd,
            env={**clean_environment(), **(env or {})},
            output=output.fileno(),
            errors=errors.fileno(),
            new_session=False,
        )
        try:
            status = process.wait(scaled(60))
        finally:
            process.kill()
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode())
    return subprocess.CompletedProcess(args, status, *texts)


def fail(
    *args: str, cwd: Path, env: dict[str, str] | None = None, status: int
) -> list[str]:
    """Run a command that must fail with a status; return its lines of error."""
    result = run_command(*args, cwd=cwd, env=env)
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    lines = result.stderr.splitlines()
    for line in lines:
        assert line.startswith("resqued: ")
    return [line.removeprefix("resqued: ") for line in lines]
