"""`resqued web`: serve the web front end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from resqued.cli.options import redis_options
from resqued.cli.web_access import token, user
from resqued.config import loader
from resqued.config.layers import read_layers
from resqued.errors import ConfigError

EXAMPLES = """
\b
Examples:
  resqued web
  resqued web --listen unix:/run/resqued/web.sock
  resqued web --redis redis://localhost:6379/5 --read-only
"""


@click.group(invoke_without_command=True, epilog=EXAMPLES)
@redis_options
@click.option("--listen", metavar="ADDRESS", help="host:port, unix:PATH or fd:.")
@click.option("--read-only", is_flag=True, help="No page changes anything.")
@click.pass_context
def web(ctx: click.Context, /, **options: Any) -> None:
    """Serve pages that show jobs and workers, and mend what failed.

    They need Redis alone. Without a login they are on this host only.
    """
    if ctx.invoked_subcommand is None:
        _serve(**options)


web.add_command(user)
web.add_command(token)


def _serve(
    url: str | None,
    namespace: str | None,
    config_file: str | None,
    listen: str | None,
    read_only: bool,
) -> None:
    try:
        from resqued.web import serving
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the web front end needs {error.name}: pip install 'resqued[web]'"
        ) from None
    given = {"redis": {"url": url, "namespace": namespace}, "web": {"listen": listen}}
    settings = loader.build_web(read_layers(config_file, given).for_command())
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
