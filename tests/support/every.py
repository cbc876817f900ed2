"""Every command, and every method of the library, once, through one URL.

For topologies: whatever a URL leads to, all of them must work through it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

import resqued
from resqued.cli import cli
from tests.support.daemon import Daemon

QUEUE, MISSING = "elsewhere", "Missing"
# The passwords of the topologies, as they are and as URLs have them.
SECRETS = ("p@ss:1", "p%40ss%3A1", "s:n@1", "s%3An%401")


class Commands:
    """The commands with a URL and a namespace, run in this process.

    A command for the master here finds it, whichever node or sentinel the URL names.
    """

    def __init__(self, url: str, namespace: str = "resque") -> None:
        self._target = ("-r", url, "-N", namespace)

    def run(self, *words: str, status: int = 0) -> str:
        """Return what a command writes; fail unless it ends with the status."""
        result = CliRunner().invoke(cli, [*words, *self._target])
        assert result.exit_code == status, (words, result.output, result.exception)
        assert not any(secret in result.output for secret in SECRETS)
        return result.output

    def facts(self, *words: str) -> Any:
        """Return what a command writes as JSON."""
        return json.loads(self.run(*words, "--json"))


def use_every_command(commands: Commands) -> None:
    """Use each command; a master with workers for another queue must run.

    RUNTIME_DIRECTORY is where its socket is.
    """
    before = commands.facts("stats")
    for number in range(3):
        commands.run("enqueue", MISSING, str(number), "-q", QUEUE)
    assert QUEUE in commands.run("queues")
    assert len(commands.facts("queues", "peek", QUEUE, "--count", "3")) == 3
    assert commands.facts("stats")["pending"] == before["pending"] + 3
    assert QUEUE in commands.run("why", QUEUE, "--no-import")
    commands.run("queues", "clear", QUEUE, "--yes")
    assert commands.facts("stats")["pending"] == before["pending"]
    assert commands.facts("status")["workers"]
    assert commands.facts("workers")
    commands.run("workers", "prune", "--dry-run")
    assert commands.run("top")
    commands.run("pause")
    commands.run("resume")
    commands.run("doctor", "--no-import")


def use_failed_commands(commands: Commands, count: int) -> None:
    """Use each command for failures; there are `count` of them, and then none.

    Their jobs are of the queue `default`, and do not run again.
    """
    commands.run("pause")
    rows = commands.facts("failed", "list", "--count", str(count))
    assert len(rows) == count
    commands.run("failed", "show", rows[0]["id"])
    commands.run("failed", "retry", rows[0]["id"])
    commands.run("failed", "retry", "--all", "--dry-run")
    commands.run("failed", "remove", rows[1]["id"], "--yes")
    commands.run("failed", "clear", "--retried", "--yes")
    commands.run("failed", "clear", "--yes")
    commands.run("queues", "clear", "default", "--yes")
    commands.run("resume")
    assert commands.facts("failed", "list") == []


def run_documented(commands: list[list[str]], place: Path) -> None:
    """Run commands of the documentation, as this machine has their servers."""
    assert commands
    runner = CliRunner()
    for words in commands:
        if words[0] == "work":
            with Daemon(*words[1:], "-a", "tests.support.jobs", cwd=place) as daemon:
                daemon.wait_for_event("master_ready")
        else:
            result = runner.invoke(cli, words)
            assert result.exit_code == 0, (words, result.output)


def use_every_method(client: resqued.Client) -> None:
    """Use each method that asks Redis, on a queue that nobody serves."""
    client.ping()
    client.enqueue_to(QUEUE, MISSING, 1)
    client.enqueue_many([[2], [3], [4]], job=MISSING, queue=QUEUE)
    client.push(QUEUE, {"class": MISSING, "args": [5]})
    assert client.size(QUEUE) == client.queue_sizes()[QUEUE] == 5
    assert QUEUE in client.queues()
    assert len(client.peek(QUEUE, 0, 9)) == 5
    assert client.pop(QUEUE)["args"] == [1]
    reserved = client.reserve(QUEUE)
    assert reserved is not None
    assert client.dequeue(MISSING, 4, queue=QUEUE) == 1
    assert client.remove_queue(QUEUE) == 2
    client.workers()
    client.working()
    client.worker_entries()
    client.info()
    client.status()
    assert client.failures.count() >= 0
