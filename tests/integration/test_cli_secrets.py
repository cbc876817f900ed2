"""No command shows a password of the URL, in whatever place of the URL it stands."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from click.testing import CliRunner

from resqued.cli import cli
from tests.support.cli import Run

SECRET = "S3cret9"

COMMANDS = [
    ["status"],
    ["status", "--check"],
    ["top"],
    ["pause"],
    ["reload"],
    ["stats", "--json"],
    ["queues"],
    ["workers"],
    ["failed"],
    ["delayed"],
    ["retries"],
    ["schedule"],
    ["why", "default", "--no-import"],
    ["doctor", "--no-import"],
    ["doctor", "--no-import", "--json"],
    ["enqueue", "Run", "-q", "default"],
    ["config", "show"],
    ["config", "show", "--json"],
    ["config", "check"],
]

OPTIONS = f"?sentinel_username=s&sentinel_password={SECRET}"
# PORT is that of nobody, SERVER that of a server that knows no such user.
URLS = [
    f"rediss://user:{SECRET}@127.0.0.1:PORT/0?ssl_password={SECRET}",
    f"redis://127.0.0.1:PORT/0?password={SECRET}",
    f"redis://user:{SECRET}@127.0.0.1:SERVER/0",
    f"redis+sentinel://user:{SECRET}@127.0.0.1:PORT,127.0.0.1:SERVER/jobs/0{OPTIONS}",
    f"redis+cluster://:{SECRET}@127.0.0.1:PORT,127.0.0.1:SERVER",
    f"redis://127.0.0.1:x{SECRET}/0?pass={SECRET}",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.usefixtures("run")
def test_no_command_shows_the_password(
    url: str,
    redis_url: str,
    closed_port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, _, server = redis_url.rpartition(":")
    url = url.replace("PORT", str(closed_port))
    url = url.replace("SERVER", server.partition("/")[0])
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    file = tmp_path / "resqued.toml"
    text = f'url = "{url}"\ntimeout = "100ms"\n[[pool]]\nqueues = "default"\n'
    file.write_text(f"[redis]\n{text}")
    monkeypatch.setenv("RESQUED_CONFIG", str(file))
    monkeypatch.setenv("REDIS_URL", url)
    for words in COMMANDS:
        for option in ([], ["-r", url]) if words[0] != "config" else ([],):
            result = CliRunner().invoke(cli, [*words, *option])
            # As --debug shows it.
            shown = "".join(traceback.format_exception(result.exception))
            assert SECRET not in result.output + shown, (words, option)


def test_a_master_of_another_redis_is_named_without_its_password(
    run: Run, daemon: object, redis_url: str
) -> None:
    del daemon
    url = f"redis://:{SECRET}@{redis_url.partition('://')[2]}?client_name={SECRET[:2]}"
    error = run("pause", "-r", url, "-N", "other", fails=Exception).exception
    assert "no master here serves redis://:***@" in str(error)
    assert SECRET not in str(error)
