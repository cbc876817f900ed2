"""Mistakes, of people and of machines: one line each, and the right exit code."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.system.redis_server import EmbeddedServer
from tests.support.cli import fail, run_command

ROOT = Path(__file__).parents[2]
LISTINGS = ("status", "queues", "workers", "failed", "stats")


def _numbers() -> Iterator[str]:
    """Yield each command with an option for a number, up to that number."""
    for words in ("work q", "start q", "demo"):
        yield f"{words} --workers"
    for words in ("failed list", "retries list", "delayed list", "queues peek q"):
        yield from (f"{words} --start", f"{words} --count")


CONFIG_MISTAKES = {
    "[redis]\n\nurl redis\n": [
        (
            "configuration file resqued.toml:"
            " Expected '=' after a key in a key/value pair (at line 3, column 5)"
        )
    ],
    "[redis": [
        (
            "configuration file resqued.toml: Expected ']' at the end of a table"
            " declaration (at line 1, the end of the file)"
        )
    ],
    "[redis]\nulr = 'x'\n": [
        "resqued.toml: [redis]: unknown key 'ulr' (did you mean 'url'?)"
    ],
    "[redsi]\n": ["resqued.toml: unknown section [redsi] (did you mean 'redis'?)"],
    "[redis]\nurl = 'http://x'\n[limits]\ngrace = -1\n[[pool]]\nqueues = ''\n": [
        (
            "resqued.toml: [redis] url: redis url 'http://x' must begin with"
            " redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://"
        ),
        "resqued.toml: [limits] grace: -1 is negative",
        (
            "resqued.toml: [[pool]] 1 queues: queue list '' names no queue:"
            " give names or patterns, such as 'critical,high' or '*,!low'"
        ),
    ],
}


@pytest.mark.parametrize("text", CONFIG_MISTAKES)
def test_mistakes_in_a_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "resqued.toml").write_text(text)
    lines = fail("config", "check", "resqued.toml", cwd=tmp_path, status=78)
    assert lines == CONFIG_MISTAKES[text]


@pytest.mark.parametrize("args", [["status"], ["work", "q"], ["config", "show"]])
def test_mistakes_in_a_file_are_told_alike_by_every_command(
    tmp_path: Path, args: list[str]
) -> None:
    text = list(CONFIG_MISTAKES)[-1]
    (tmp_path / "resqued.toml").write_text(text)
    lines = fail(*args, "-c", "resqued.toml", cwd=tmp_path, status=78)
    assert lines == CONFIG_MISTAKES[text]


@pytest.mark.skipif(
    Path("/run/systemd/journal/socket").exists(), reason="there is a journal here"
)
def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    args = ("work", "q", "--log-format", "journal")
    assert fail(*args, cwd=tmp_path, status=78) == [
        (
            "log format journal needs systemd's journal, and there is no"
            " /run/systemd/journal/socket: start the journal, or choose another format"
        )
    ]


@pytest.mark.parametrize(
    "args", [["config", "check"], ["status", "-c"], ["work", "q", "-c"]]
)
def test_a_file_that_is_not_there(tmp_path: Path, args: list[str]) -> None:
    lines = fail(*args, "nope.toml", cwd=tmp_path, status=78)
    assert lines == ["configuration file nope.toml does not exist"]
    env = {"RESQUED_CONFIG": "nope.toml"}
    lines = fail("stats", cwd=tmp_path, env=env, status=78)
    assert lines == ["configuration file nope.toml does not exist"]


def test_an_option_with_an_empty_name_does_not_mean_the_usual_file(
    tmp_path: Path,
) -> None:
    (line,) = fail("stats", "-c", "", cwd=tmp_path, status=78)
    assert line == "-c '' names no configuration file: give its path, or no -c"


@pytest.mark.parametrize("queues", ["", "!a", ",", "!a,!b"])
def test_a_queue_list_without_a_queue(tmp_path: Path, queues: str) -> None:
    for args, env in (((queues,), {}), ((), {"QUEUES": queues, "QUEUE": "q"})):
        (line,) = fail("work", *args, cwd=tmp_path, env=env, status=78)
        assert f"queue list {queues!r} names no queue" in line


def test_no_queues_at_all(tmp_path: Path) -> None:
    (line,) = fail("work", cwd=tmp_path, status=78)
    assert line.startswith("no queues: name them, as in `resqued work critical,high`")


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"COUNT": "many"}, "COUNT is 'many', and must be a whole number"),
        ({"COUNT": "0"}, "COUNT is '0', and must be a whole number from 1"),
        ({"COUNT": "-1"}, "COUNT is '-1', and must be a whole number from 1"),
        ({"COUNT": "9" * 20}, "and must be a whole number from 1 to 10000"),
        ({"INTERVAL": "soon"}, "'soon' is not a duration such as 90, 4s, 15m or 2h"),
        ({"INTERVAL": "-1"}, "'-1' is not a duration such as 90, 4s, 15m or 2h"),
        ({"RESQUE_TERM_TIMEOUT": "x"}, "RESQUE_TERM_TIMEOUT: 'x' is not a duration"),
        ({"RESQUED_LOG_LEVEL": "loud"}, "RESQUED_LOG_LEVEL: 'loud' must be one of"),
        ({"RESQUED_APP": "a-b"}, "RESQUED_APP: 'a-b' is not the name of a module"),
    ],
)
def test_variables_that_are_no_good(
    tmp_path: Path, env: dict[str, str], said: str
) -> None:
    (line,) = fail("work", "q", cwd=tmp_path, env=env, status=78)
    assert said in line


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://x", "redis url 'http://x' must begin with redis://, rediss://"),
        ("localhost:6379", "redis url 'localhost:6379' must begin with redis://"),
        ("redis://:secret@h:x", "redis url 'redis://:***@h:***' cannot be read"),
        ("redis://[::1", "redis url 'redis://***' cannot be read: in a"),
    ],
)
def test_urls_that_are_none(tmp_path: Path, url: str, said: str) -> None:
    (line,) = fail("work", "q", "-r", url, cwd=tmp_path, status=78)
    assert line.startswith(f"--redis: {said}")
    (line,) = fail("stats", cwd=tmp_path, env={"REDIS_URL": url}, status=78)
    assert line.startswith(f"REDIS_URL: {said}")


def test_several_mistakes_are_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[reds]\n")
    lines = fail(
        *("work", "q", "-c", "x.toml", "--grace", "x", "-N", ""),
        cwd=tmp_path,
        env={"REDIS_URL": "x", "RESQUED_LOG_FORMAT": "y"},
        status=78,
    )
    assert [line.partition(":")[0] for line in lines] == [
        "x.toml",
        "REDIS_URL",
        "RESQUED_LOG_FORMAT",
        "--namespace",
        "--grace",
    ]


@pytest.mark.parametrize(
    "args",
    [
        *([name] for name in LISTINGS),
        ["work", "q"],
        ["enqueue", "A", "-q", "q"],
        ["failed", "retry", "abcd"],
        ["workers", "remove", "a:1:b"],
    ],
)
def test_a_redis_that_cannot_be_reached(
    tmp_path: Path, closed_port: int, args: list[str]
) -> None:
    url = f"redis://:secret@127.0.0.1:{closed_port}"
    (line,) = fail(*args, "-r", url, cwd=tmp_path, status=69)
    assert line.startswith(f"redis at redis://:***@127.0.0.1:{closed_port}: ")
    assert "Connection refused" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("scheme", "greeting", "said"),
    [
        (
            "redis",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "no Redis answers there, but another program",
        ),
        ("redis", b"<html>\r\n", "no Redis answers there, but another program"),
        (
            "redis",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            "no Redis answers there, but another program",
        ),
        (
            "rediss",
            b"-ERR unknown\r\n",
            "speaks no TLS; without it the url is redis://",
        ),
    ],
)
def test_a_server_of_another_kind(scheme: str, greeting: bytes, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def greet() -> None:
            connection, _ = listening.accept()
            # What the client closes first is reset.
            with connection, suppress(ConnectionResetError):
                connection.recv(4096)
                connection.sendall(greeting)
                connection.recv(4096)

        server = threading.Thread(target=greet)
        server.start()
        client = resqued.Client(f"{scheme}://127.0.0.1:{port}")
        with pytest.raises(resqued.StoreError, match=said):
            client.ping()
        client.close()
        server.join()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["queues"], "SMEMBERS resque:queues: another program uses this key"),
        (["delayed"], "ZRANGE resque:delayed_queue_schedule: another program uses"),
        (["queues", "resume", "q"], "SREM resque:resqued:paused: another program uses"),
    ],
)
def test_a_key_of_another_type_is_named(
    redis_url: str,
    redis: redis_py.Redis,
    tmp_path: Path,
    args: list[str],
    said: str,
) -> None:
    for key in ("queues", "delayed_queue_schedule", "resqued:paused"):
        redis.set(f"resque:{key}", "text")
    (line,) = fail(*args, cwd=tmp_path, env={"REDIS_URL": redis_url}, status=69)
    assert said in line


@pytest.mark.parametrize("command", sorted(_numbers()))
def test_a_number_that_is_too_large_is_wrong_usage(
    tmp_path: Path, command: str
) -> None:
    words = command.split()
    (line,) = fail(*words, "9" * 20, cwd=tmp_path, status=2)
    assert f"{'9' * 20} is not from " in line


def test_a_server_that_is_not_there_is_started_by_a_command(closed_port: int) -> None:
    for host, is_here in (("127.0.0.1", True), ("127.0.0.2", False)):
        with pytest.raises(resqued.StoreError, match="no server listens") as caught:
            resqued.Client(f"redis://{host}:{closed_port}").ping()
        assert ("`resqued redis start` starts one" in str(caught.value)) == is_here


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    (line,) = fail("status", "-r", f"unix://{tmp_path}/no", cwd=tmp_path, status=69)
    assert "No such file or directory" in line


@pytest.fixture
def locked_server(
    server_binary: Path | None, tmp_path: Path
) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(
        tmp_path / "server", binary=server_binary, options={"requirepass": "right"}
    ) as server:
        yield server


@pytest.mark.server_semantics
def test_a_password_that_is_wrong_or_missing(
    locked_server: EmbeddedServer, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{locked_server.port}"
    said = {
        ":wrong@": "invalid username-password pair",
        "": "it needs a password: redis:",
    }
    for args in (["queues"], ["status"], ["work", "q", "--log-level", "error"]):
        for login, reason in said.items():
            url = f"redis://{login}{address}"
            (line,) = fail(*args, "-r", url, cwd=tmp_path, status=69)
            shown = f"redis://{':***@' if login else ''}{address}"
            assert line.startswith(f"redis at {shown} refused the login: {reason}")


def test_debug_shows_the_stack_of_an_application_that_cannot_be_imported(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text("import conf\n")
    (tmp_path / "conf.py").write_text("import json\njson.loads('{')\n")
    done = run_command(
        "--debug", "work", "q", "-a", "app", "-r", redis_url, cwd=tmp_path
    )
    assert done.returncode == 78
    said = done.stderr
    for file, line in (("app", 1), ("conf", 2)):
        assert f'File "{tmp_path}/{file}.py", line {line}' in said
    place = f"JSONDecodeError at {tmp_path}/conf.py:2 (in json/decoder.py:"
    assert place in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "cannot import app: ModuleNotFoundError: No module named 'app'"),
        ("def (:\n", "cannot import app: SyntaxError at {app}:1: invalid syntax"),
        (
            "import math\nraise RuntimeError('two\\nlines \\x1b[2J')\n",
            r"cannot import app: RuntimeError at {app}:2: two lines \x1b[2J",
        ),
        ("import nope_nope\n", "No module named 'nope_nope'"),
        ("raise SystemExit(3)\n", "cannot import app: SystemExit at {app}:1: 3"),
        (
            "import json\n\njson.loads('')\n",
            "cannot import app: JSONDecodeError at {app}:3 (in json/decoder.py:",
        ),
    ],
)
def test_an_application_that_cannot_be_imported(
    redis_url: str, tmp_path: Path, source: str | None, said: str
) -> None:
    app = tmp_path / "app.py"
    if source is not None:
        app.write_text(source)
    (line,) = fail(
        *("work", "q", "-a", "app", "-r", redis_url, "--log-level", "error"),
        cwd=tmp_path,
        status=78,
    )
    assert said.format(app=app) in line


@pytest.mark.parametrize("command", [["work", "a", "--burst"], ["start", "a"]])
def test_a_directory_that_was_removed_is_named(
    tmp_path: Path, command: list[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd {gone}; rmdir {gone}; exec "$@"'
    ended = subprocess.run(
        ["sh", "-c", script, "sh", sys.executable, "-P", "-m", "resqued", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 78
    assert ended.stderr == (
        f"resqued: the current directory {gone} cannot be used: No such file or"
        " directory; change to another one\n"
    )
