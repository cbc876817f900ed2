"""What docs/operations.md has people type in trouble, typed at a real pool.

Each command runs as it stands there, with the pids, names and files of this pool.
"""

from __future__ import annotations

import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.errors import ExitCode
from tests.support.asking import ask
from tests.support.cli import HOST, add_failure, add_worker, run_command
from tests.support.daemon import Daemon
from tests.support.pool import pool
from tests.support.wait import scaled, wait_until

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
SECTIONS = ("Talking to a running master", "Tuning", "Deploying", "What to do when")

# doctor may find fault with this machine; reopen needs a log file.
MAY_FAIL = {"doctor", "reopen"}
# What becomes another program: tests/integration/test_cli_logs.py.
ELSEWHERE = {"logs"}


def commands() -> list[str]:
    """Every call of resqued in these sections, once."""
    text = OPERATIONS.read_text("utf-8")
    found: dict[str, None] = {}
    for title in SECTIONS:
        body = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
        assert body, title
        for block in re.findall(r"^```sh\n(.*?)^```", body[1], re.M | re.S):
            for line in block.splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["resqued"] and words[1] not in ELSEWHERE:
                    found[shlex.join(words[1:])] = None
    return list(found)


@pytest.fixture
def daemon(redis_url: str, redis: redis_py.Redis, tmp_path: Path) -> Iterator[Daemon]:
    """A pool with a job that runs, one that waits, a failure and a ghost."""
    client = resqued.Client(redis_url)
    with pool(
        redis_url, tmp_path, queues="critical,high", config="[redis]\n"
    ) as running:
        running.wait_for_event("master_ready")
        client.enqueue_to("critical", "Nap", 300)
        assert redis.blpop("started", scaled(30))
        client.enqueue_to("critical", "Run", 1)
        add_failure(redis)
        add_worker(redis, "web9:4711:critical")
        yield running
        running.signal(signal.SIGTERM)
        running.wait()


@pytest.mark.parametrize("line", commands())
def test_a_command_for_trouble_does_what_it_should(
    line: str, daemon: Daemon, redis_url: str, tmp_path: Path
) -> None:
    env = {
        "REDIS_URL": redis_url,
        "TEST_REDIS_URL": redis_url,
        "RUNTIME_DIRECTORY": str(daemon.runtime_directory),
    }
    (worker,) = daemon.workers()

    wait_until(
        lambda: ask(daemon, do="status")["workers"][0]["job"], what="the job in hand"
    )
    words = shlex.split(
        line.replace("web9:4711", "ghost")
        .replace("4711", str(worker))
        .replace("ghost", "web9:4711")
        .replace("web1", HOST)
        .replace("myapp.jobs.Mail", "Run")
        .replace("/etc/resqued/resqued.toml", "resqued.toml")
    )
    if "drain" in words or "reload" in words:
        # These wait for the job, or leave it to its old worker for ever.
        run_command("kill", str(worker), cwd=tmp_path, env=env)
    result = run_command(*words, cwd=tmp_path, env=env)
    assert "Traceback" not in result.stderr
    if words[0] not in MAY_FAIL:
        assert (result.returncode, result.stderr) == (ExitCode.OK, "")
