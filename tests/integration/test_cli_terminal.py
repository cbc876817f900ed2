"""What a terminal and a shell get to see: nothing that they would act on."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import termios

import pytest
import redis as redis_py
from rich.cells import cell_len

import resqued
from resqued.cli.text import clean, clip, duration, one_line
from resqued.core.plural import pluralize
from tests.support.cli import (
    RESQUED,
    Run,
    add_failure,
    add_worker,
    give_job,
    server_time,
)
from tests.support.daemon import Daemon, clean_environment
from tests.support.wait import scaled

# Names that would do something, if a terminal or rich were to read them.
EVIL = ("[red]x[/red]", "\x1b[2Jevil", "a\nb", "a\x9bb", "\u202edcba", ":smile:")


def test_names_from_redis_are_shown_and_never_acted_on(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for name in EVIL:
        client.push(name, {"class": name, "args": [name]})
        add_worker(redis, f"{name}:1:{name}")
        add_failure(redis, class_name=name, queue=name, error=name)
    ids = [f.id for f in client.failures.page()]
    for command in (
        ["status"],
        ["queues"],
        ["workers"],
        ["stats"],
        ["failed"],
        *(["queues", "peek", name] for name in EVIL),
        *(["failed", "show", failure_id] for failure_id in ids),
    ):
        shown = run(*command).stdout
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown), command
    shown = run("queues").stdout
    for name in (r"[red]x[/red]", r"\x1b[2Jevil", r"a\x0ab", r"\x9b", r"\u202edcba"):
        assert name in shown
    assert list(json.loads(run("queues", "--json").stdout)) == sorted(EVIL)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("é ☃ 😀", "é ☃ 😀"),
        ("\x1b[2J\x00\x7f\x9b\t\n", r"\x1b[2J\x00\x7f\x9b\x09\x0a"),
        (b"\xff".decode("utf-8", "surrogateescape"), r"\xff"),
        ("\ud83d\u2028\u2066", r"\ud83d\u2028\u2066"),
    ],
)
def test_what_would_move_the_cursor_is_shown_as_its_code(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_small_words() -> None:
    assert one_line("a\n  b\x1b") == r"a b\x1b"
    assert clip("abcdef", 4) == "abc…"
    assert clip("a\nb", 4) == "a b"
    ages = [None, -3.0, 0.4, 59.0, 60.0, 7199.0, 86399.0, 200000.0]
    assert [duration(age) for age in ages] == [
        *("-", "0 s", "0 s", "59 s", "1 min"),
        *("1 h", "23 h", "2 d"),
    ]
    assert [pluralize(n, "job") for n in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]


def at_terminal(
    url: str, *args: str, answer: str = "", columns: int = 120, **env: str
) -> tuple[int, str]:
    """Run a command on a terminal; return its status and what the terminal got."""
    ours, theirs = pty.openpty()
    env = {**clean_environment(), "REDIS_URL": url, "TERM": "xterm", **env}
    termios.tcsetwinsize(theirs, (24, columns))
    process = subprocess.Popen(
        [*RESQUED, *args], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    output = b""
    # EIO is how a terminal ends whose other side is closed (pty(7)).
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        output += data
    os.close(ours)
    return process.wait(scaled(30)), output.decode()


def test_a_terminal_gets_colours_but_no_sequence_of_anybody_else(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for name in EVIL:
        client.push(name, {"class": name, "args": []})
    add_worker(redis, "a:1:q", server_time(redis))
    add_worker(redis, "[blink]b:1:q")
    status, shown = at_terminal(redis_url, "status")
    assert status == 0
    # What is left without colours has no sequence at all.
    colours = re.findall(r"\x1b\[[\d;]*m", shown)
    assert colours
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown).replace("\r\n", "\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", plain)
    for text in ("[red]x[/red]", r"\x1b[2Jevil", ":smile:", "[blink]b:1:q", "unknown"):
        assert text in plain


def test_tables_are_no_wider_than_the_terminal(
    redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    name = "shop.jobs.images.thumbnails.ResizeEverythingOfAnAlbum"
    client.enqueue_to("q" * 40, name, "x" * 90)
    failure_id = add_failure(redis, class_name=name, error="没有这样的照片 " * 12)
    worker_id = "web1.example.org:4711:critical,high"
    add_worker(redis, worker_id, server_time(redis))
    give_job(redis, worker_id, server_time(redis, ago=90))
    for command, seen in (
        (["failed"], failure_id),
        (["status"], worker_id),
        (["workers"], worker_id),
        (["queues"], "q" * 40),
        (["queues", "q" * 40], "ARGUMENTS"),
    ):
        status, shown = at_terminal(redis_url, *command, columns=80)
        plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
        assert status == 0
        assert seen in plain
        assert max(map(cell_len, plain.splitlines())) <= 80, command
    _, shown = at_terminal(redis_url, "failed", columns=80)
    assert " ago" in shown
    _, shown = at_terminal(redis_url, "failed", "--wide", columns=80)
    assert "2023/11/14 22:13:21 UTC" in shown
    assert "ValueError" in shown


def test_reload_waits_at_a_terminal(redis_url: str, daemon: Daemon) -> None:
    place = {"RUNTIME_DIRECTORY": str(daemon.runtime_directory)}
    status, shown = at_terminal(redis_url, "reload", **place)
    assert status == 0
    assert f"master {daemon.pid} has moved to generation" in shown
    status, shown = at_terminal(redis_url, "reload", "--no-wait", **place)
    assert f"master {daemon.pid} starts generation" in shown


def test_no_colour_where_none_is_wanted(redis_url: str, client: resqued.Client) -> None:
    client.enqueue_to("mail", "Mail")
    result = subprocess.run(
        [*RESQUED, "status"],
        env={**clean_environment(), "REDIS_URL": redis_url, "FORCE_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(("answer", "left", "status"), [("y\n", 0, 0), ("\n", 2, 1)])
def test_clear_asks_on_a_terminal(
    redis_url: str, client: resqued.Client, answer: str, left: int, status: int
) -> None:
    for number in (1, 2):
        client.push("[b]\x1b[2J", {"class": "Mail", "args": [number]})
    found, shown = at_terminal(
        redis_url, "queues", "clear", "[b]\x1b[2J", answer=answer
    )
    assert found == status
    assert r"Remove queue [b]\x1b[2J with its 2 jobs? [y/N]" in shown
    assert "\x1b" not in shown
    assert client.size("[b]\x1b[2J") == left


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_for_a_shell(run: Run, shell: str) -> None:
    shown = run("completion", shell).stdout
    assert f"_RESQUED_COMPLETE={shell}_complete" in shown


def completions(url: str, *words: str) -> list[str]:
    env = {
        **clean_environment(),
        "REDIS_URL": url,
        "_RESQUED_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("resqued", *words)),
        "COMP_CWORD": str(len(words)),
    }
    result = subprocess.run(
        RESQUED, env=env, capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    return [line.removeprefix("plain,") for line in result.stdout.split()]


def test_commands_and_queues_are_completed(
    redis_url: str, client: resqued.Client
) -> None:
    for name in ("mail", "main", "other", "$(reboot)", "a b", "a;b", "\x1b"):
        client.enqueue_to(name, "Mail")
    assert completions(redis_url, "que") == ["queues"]
    assert completions(redis_url, "queues", "peek", "ma") == ["mail", "main"]
    # What the shell would act on is not offered.
    assert completions(redis_url, "queues", "clear", "") == ["mail", "main", "other"]
    assert completions(redis_url, "enqueue", "A", "-q", "o") == ["other"]


def test_completion_is_silent_without_redis(closed_port: int) -> None:
    url = f"redis://127.0.0.1:{closed_port}"
    assert completions(url, "queues", "peek", "") == []
    assert completions("nonsense", "queues", "peek", "") == []
