"""`resqued redis`: an embedded server that stays up, for trying things out.

Runs in the command's own process, which ends as soon as the server answers.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from resqued.system.redis_server import EmbeddedServer


def _default_directory() -> Path:
    # The XDG base directory rules: a relative path counts as not set.
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        state = Path.home() / ".local" / "state"
    return state / "resqued" / "redis"


_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=_default_directory,
    show_default="$XDG_STATE_HOME/resqued/redis",
    help="Where the server keeps its data and its log.",
)


@click.group(name="redis")
def redis() -> None:
    """Start or stop an embedded server on this machine."""


@redis.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=6379,
    show_default=True,
    help="TCP port on 127.0.0.1.",
)
@_directory
def start(port: int, directory: Path) -> None:
    """Start the server, print its URL, and leave it running.

    If it runs already, print its URL. It contains a random password, so other commands
    need it: export REDIS_URL=$(resqued redis start)
    """
    server = EmbeddedServer.find(directory)
    if server:
        click.echo(f"already running (pid {server.pid})", err=True)
    else:
        server = EmbeddedServer.start(
            directory, port=port, append_only=True, detach=True
        )
    click.echo(server.url)


@redis.command()
@_directory
def stop(directory: Path) -> None:
    """Stop the server; its data stays."""
    server = EmbeddedServer.find(directory)
    if not server:
        click.echo("not running", err=True)
        return
    server.stop()
    click.echo(f"stopped (pid {server.pid})", err=True)
