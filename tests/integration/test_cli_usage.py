"""What a person types wrong, or does not mean: one line, and nothing is done."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis as redis_py

from tests.support.cli import RESQUED, add_failure, fail
from tests.support.daemon import clean_environment


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["xyzzy"], "no such command 'xyzzy' (see 'resqued --help')"),
        (
            ["qeues"],
            "no such command 'qeues'. Did you mean 'queues'? (see 'resqued --help')",
        ),
        (["workers", "nope"], "no such command 'nope' (see 'resqued workers --help')"),
        (["--nope"], "no such option '--nope' (see 'resqued --help')"),
        (
            ["work", "q", "--nope"],
            "no such option '--nope' (see 'resqued work --help')",
        ),
        (
            ["queues", "--nope"],
            "no such option '--nope' (see 'resqued queues list --help')",
        ),
        (
            ["enqueue", "A", "beach.jpg", "--delay", "10m", "-q", "q"],
            (
                "no such option '--delay'. An argument like it goes behind `--`"
                " (see 'resqued enqueue --help')"
            ),
        ),
        (
            ["enqueue", "A", "-5", "--queu=low"],
            (
                "no such option '--queu'. Did you mean '--queue'? An argument like it"
                " goes behind `--` (see 'resqued enqueue --help')"
            ),
        ),
        (
            ["queues", "peek"],
            "missing argument 'NAME' (see 'resqued queues peek --help')",
        ),
        (
            ["queues", "peek", "q", "--start", "-1"],
            (
                "invalid value for '--start': -1 is not from 0 to 1000000000000"
                " (see 'resqued queues peek --help')"
            ),
        ),
        (
            ["queues", "peek", "q", "--count", "0"],
            (
                "invalid value for '--count': 0 is not from 1 to 1000000000000"
                " (see 'resqued queues peek --help')"
            ),
        ),
        (
            ["failed", "--count", "-5"],
            (
                "invalid value for '--count': -5 is not from 1 to 1000000000000"
                " (see 'resqued failed list --help')"
            ),
        ),
        (
            ["failed", "--count", "x"],
            (
                "invalid value for '--count': 'x' is not a whole number"
                " (see 'resqued failed list --help')"
            ),
        ),
        (
            ["work", "q", "-n", "0"],
            (
                "invalid value for '-n' / '--workers': 0 is not from 1 to 10000"
                " (see 'resqued work --help')"
            ),
        ),
        (
            ["work", "q", "--instance", "mail"],
            "--instance names the queues: leave QUEUES out (see 'resqued work --help')",
        ),
        (
            ["work", "-n", "2"],
            "--workers needs QUEUES; pools have their own (see 'resqued work --help')",
        ),
        (
            ["work", "q", "--log-level", "loud"],
            (
                "invalid value for '--log-level': 'loud' is not one of"
                " 'debug', 'info', 'warning', 'error' (see 'resqued work --help')"
            ),
        ),
        (
            ["queues", "peek", "\x1b[2J", "x"],
            "got unexpected extra argument (x) (see 'resqued queues peek --help')",
        ),
        (
            ["failed", "retry"],
            "name failures by ID, or add --all (see 'resqued failed retry --help')",
        ),
        (
            ["failed", "retry", "abcd", "--all"],
            "give IDs or --all, not both (see 'resqued failed retry --help')",
        ),
        (
            ["failed", "remove", "--queue", "q"],
            (
                "add --all: --class, --queue, --exception, --since and --until choose"
                " among all (see 'resqued failed remove --help')"
            ),
        ),
        (
            ["failed", "remove", "--all"],
            (
                "add --yes: there is no terminal to ask on"
                " (see 'resqued failed remove --help')"
            ),
        ),
        (
            ["completion", "tcsh"],
            (
                "invalid value for '{bash|zsh|fish}': 'tcsh' is not one of"
                " 'bash', 'zsh', 'fish' (see 'resqued completion --help')"
            ),
        ),
    ],
)
def test_usage(tmp_path: Path, args: list[str], message: str) -> None:
    assert fail(*args, cwd=tmp_path, status=2) == [message]


@pytest.mark.parametrize("args", [["clear", "q"], ["clear", "nope"]])
def test_what_destroys_is_not_done_without_asking(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path, args: list[str]
) -> None:
    redis.sadd("resque:queues", "q")
    redis.rpush("resque:queue:q", "{}")
    expected = {
        "q": (2, "add --yes: there is no terminal to ask on"),
        "nope": (1, "there is no queue 'nope'; `resqued queues` lists them"),
    }[args[1]]
    (line,) = fail(
        "queues", *args, cwd=tmp_path, env={"REDIS_URL": redis_url}, status=expected[0]
    )
    assert line.startswith(expected[1])
    assert redis.llen("resque:queue:q") == 1


@pytest.mark.parametrize(
    ("failure_id", "said"),
    [
        ("abcd", "there is no failure abcd; `resqued failed` lists them"),
        ("", "id '' is too short: give 4 digits or more"),
        ("abc", "id 'abc' is too short: give 4 digits or more"),
        ("0", "id '0' is too short: give 4 digits or more"),
        ("\x1b[2J", r"there is no failure '\x1b[2J': an id is 12 hex digits"),
        ("0123456789abc", "there is no failure '0123456789abc': an id is 12"),
    ],
)
def test_an_id_that_means_no_failure(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path, failure_id: str, said: str
) -> None:
    add_failure(redis)
    args = ("failed", "remove", "--yes", failure_id)
    (line,) = fail(*args, cwd=tmp_path, env={"REDIS_URL": redis_url}, status=1)
    assert line.startswith(said)
    assert redis.llen("resque:failed") == 1


def test_a_queue_without_a_name(redis_url: str, tmp_path: Path) -> None:
    env = {"REDIS_URL": redis_url}
    (line,) = fail("enqueue", "A", "-q", "", cwd=tmp_path, env=env, status=1)
    assert "a job must be placed onto a queue" in line


def test_help_and_version_are_no_errors(tmp_path: Path) -> None:
    for args in (
        ["--version"],
        ["-h"],
        ["queues", "-h"],
        ["failed", "show", "-h"],
    ):
        result = subprocess.run(
            [*RESQUED, *args], env=clean_environment(), capture_output=True, check=True
        )
        assert result.stdout
        assert result.stderr == b""
