"""What several commands share: options, a client, a question."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import wraps
from typing import Any, TypeVar

import click

from resqued.client import Client
from resqued.config import loader
from resqued.config.layers import read_layers, text_at
from resqued.core import durations
from resqued.errors import ResquedError

F = TypeVar("F", bound=Callable[..., Any])

# Of a list: more than Redis can hold, and within the integers of Redis.
_MOST = 10**12

# The server of the client, if it is the default: nobody has named one.
_DEFAULT_SERVER = f"{__name__}.default_server"


class Duration(click.ParamType):  # type: ignore[type-arg] # click < 8.5 has none
    """A duration as the configuration has them, such as 90s or 10m, in seconds."""

    name = "duration"

    def __init__(self, *, least: float = 0.0, most: float = math.inf) -> None:
        self._least, self._most = least, most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds, or end the command with what is wrong."""
        try:
            found = durations.seconds(value)
        except ValueError as error:
            self.fail(f"{value!r} is {error}", param, ctx)
        if not self._least <= found <= self._most:
            between = " to ".join(
                durations.show_seconds(bound) for bound in (self._least, self._most)
            )
            self.fail(f"{value!r} is not from {between}", param, ctx)
        return found


class Moment(click.ParamType):  # type: ignore[type-arg] # click < 8.5 has none
    """A time, or how long ago it was, in seconds since the epoch."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the time, or end the command with what is wrong."""
        if isinstance(value, float):
            return value
        try:
            return durations.moment(value, time.time())
        except ValueError as error:
            self.fail(f"{value!r} is {error}", param, ctx)


class ListingGroup(click.Group):
    """A group that by itself does what its command `list`, or another one, does."""

    default = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default in front where no command is named."""
        if not args or (
            args[0].startswith("-") and args[0] not in ctx.help_option_names
        ):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


config_option = click.option(
    "-c",
    "--config",
    "config_file",
    metavar="FILE",
    help="Configuration in TOML [RESQUED_CONFIG].",
)


def redis_options(function: F) -> F:
    """Add --redis, --namespace and --config."""
    for option in reversed(
        (
            click.option(
                "-r", "--redis", "url", metavar="URL", help="Redis to use [REDIS_URL]."
            ),
            click.option(
                "-N",
                "--namespace",
                metavar="NAME",
                help="Prefix of all keys [RESQUED_NAMESPACE; resque].",
            ),
            config_option,
        )
    ):
        function = option(function)
    return function


def pid_file_option(function: F) -> F:
    """Add --pidfile, which a master has locked."""
    return click.option(
        "--pidfile",
        "pid_file",
        metavar="FILE",
        help="Pid file, locked by the master [RESQUED_PIDFILE, PIDFILE].",
    )(function)


def app_option(function: F) -> F:
    """Add --app, the modules with jobs."""
    return click.option(
        "-a",
        "--app",
        "modules",
        multiple=True,
        metavar="MODULE",
        help="Module with jobs; may be given several times [RESQUED_APP].",
    )(function)


def with_client(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for Redis, and pass the client that they mean, first."""

    @wraps(function)
    def command(
        *args: Any,
        url: str | None,
        namespace: str | None,
        config_file: str | None,
        **values: Any,
    ) -> Any:
        with closing(client(url, namespace, config_file)) as found:
            return function(found, *args, **values)

    return redis_options(command)


def with_writing_client(function: Callable[..., Any]) -> Callable[..., Any]:
    """Do as with_client, for a command that changes what is in Redis.

    If neither an option nor the environment nor a file names the server, one line on
    standard error says which one is used: before a question, or else at the end.
    """

    @wraps(function)
    def command(found: Client, *args: Any, **values: Any) -> Any:
        result = function(found, *args, **values)
        name_default_server()
        return result

    return with_client(command)


def name_default_server() -> None:
    """Say once which server is used, if nobody has named one."""
    if url := click.get_current_context().meta.pop(_DEFAULT_SERVER, ""):
        click.echo(f"resqued: no Redis server is named; {url} is used", err=True)


def json_option(function: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def wide_option(function: F) -> F:
    """Add --wide, for tables."""
    return click.option(
        "--wide",
        "is_wide",
        is_flag=True,
        help="Show all columns and rows in full, as where the output is no terminal.",
    )(function)


def yes_option(function: F) -> F:
    """Add --yes, for what asks first."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(function)


def page_options(count: int) -> Callable[[F], F]:
    """Add --start and --count, of which `count` is the default."""

    def add(function: F) -> F:
        function = click.option(
            "--count",
            type=click.IntRange(1, _MOST),
            default=count,
            show_default=True,
            help="How many to show.",
        )(function)
        return click.option(
            "--start",
            type=click.IntRange(0, _MOST),
            default=0,
            show_default=True,
            help="How many to leave out first.",
        )(function)

    return add


def confirm(question: str, *, yes: bool) -> None:
    """Return if --yes was given or the person agrees; else end the command."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("add --yes: there is no terminal to ask on")
    name_default_server()
    if not click.confirm(question, err=True):
        raise ResquedError("nothing was done")


def usage_error(error: ResquedError) -> click.UsageError:
    """Return an error of ours as one of click's, which begins with a capital letter."""
    text = str(error)
    return click.UsageError(f"{text[:1].upper()}{text[1:]}")


def client(
    url: str | None,
    namespace: str | None,
    config_file: str | None,
    *,
    patience: float = math.inf,
) -> Client:
    """Return a client for what the options, the environment and the file say.

    It waits no longer for an answer than the configuration says, and `patience`.
    """
    given = {"redis": {"url": url, "namespace": namespace}}
    tables = read_layers(config_file, given).for_command()
    app = loader.build(tables).app
    if not text_at(tables, "redis", "url"):
        click.get_current_context().meta[_DEFAULT_SERVER] = app.url
    timeout = min(app.redis_timeout, patience)
    found = Client(
        app.url,
        namespace=app.namespace,
        timeout=timeout,
        max_payload=app.max_payload,
    )
    found.registry.place = app.failure_place
    return found
