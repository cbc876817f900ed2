"""`resqued web`: serve the web front end."""

from __future__ import annotations

from typing import Any

import click
from msgspec.structs import replace

from resqued.cli.options import ListingGroup, redis_options
from resqued.cli.web_access import token, user
from resqued.config import loader
from resqued.config.layers import read_layers
from resqued.errors import ConfigError
from resqued.log import logger

EXAMPLES = """
\b
Examples:
  resqued web
  resqued web --listen unix:/run/resqued/web.sock
  resqued web --redis redis://localhost:6379/5 --read-only
"""


class WebGroup(ListingGroup):
    """`resqued web` by itself serves the pages."""

    default = "serve"


@click.group(cls=WebGroup, epilog=EXAMPLES)
def web() -> None:
    """Serve pages that show jobs and workers, and retry failures.

    Without a command: serve.
    """


web.add_command(user)
web.add_command(token)


@web.command(epilog=EXAMPLES)
@redis_options
@click.option(
    "--listen",
    metavar="ADDRESS",
    help="Address of the pages: host:port, unix:PATH or fd: [127.0.0.1:5678].",
)
@click.option("--read-only", is_flag=True, help="No page changes anything.")
def serve(
    url: str | None,
    namespace: str | None,
    config_file: str | None,
    listen: str | None,
    read_only: bool,
) -> None:
    """Serve the pages until SIGTERM or Ctrl-C.

    They need Redis alone: no application is imported. Without a login they listen on
    loopback addresses and Unix sockets only.
    """
    try:
        from resqued.web import serving
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the web front end needs {error.name}: pip install 'resqued[web]'"
        ) from None
    given = {"redis": {"url": url, "namespace": namespace}, "web": {"listen": listen}}
    tables = read_layers(config_file, given).for_command()
    settings, log = loader.build_web(tables), loader.build(tables)
    logger.configure(level=log.log_level, style=log.log_format, events=log.log_events)
    settings = replace(settings, read_only=settings.read_only or read_only)
    serving.check(settings)
    opened = serving.open_socket(settings)
    click.echo(f"resqued web: {_shown_address(settings.listen, opened)}")
    serving.serve(settings, opened)


def _shown_address(listen: str, opened: Any) -> str:
    name = opened.getsockname()
    if not isinstance(name, tuple):
        return listen
    host, port = name[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
