"""`resqued config`: an example to start from, a check, and what holds in the end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from resqued.cli.options import config_option, json_option, redis_options
from resqued.cli.table import show_json, show_line
from resqued.config import loader as configuration
from resqued.config.layers import read_layers
from resqued.config.locations import usual_paths
from resqued.core.plural import pluralize
from resqued.errors import ConfigError

EXAMPLES = """
\b
Examples:
  resqued config example > /etc/resqued/resqued.toml
  resqued config check /etc/resqued/resqued.toml
  resqued config show -N staging
"""


@click.group(epilog=EXAMPLES)
def config() -> None:
    """Print an example, check a file, or show what is used."""


@config.command()
def example() -> None:
    """Print a file with every key, its default and its meaning."""
    click.echo(configuration.example(), nl=False)


@config.command(epilog=EXAMPLES)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@config_option
def check(file: Path | None, config_file: str | None) -> None:
    """Say what is wrong with FILE, one line for each problem.

    Without FILE it is the file that the other commands read: that of -c,
    RESQUED_CONFIG, ~/.config/resqued/resqued.toml, or /etc/resqued/resqued.toml.
    """
    if file and config_file:
        raise click.UsageError("Name the file once: as FILE, or with -c.")
    path = file or configuration.file_in_use(config_file, os.environ)
    if path is None:
        raise ConfigError(
            "no configuration file: there is no"
            f" {' and no '.join(map(str, usual_paths(os.environ)))}; name one"
        )
    built = configuration.build(configuration.read_file(path))
    # It has the right form, but cannot work on this host.
    directory = built.app.directory
    if directory and not Path(directory).is_dir():
        raise ConfigError(f"[app] directory: there is no directory {directory!r}")
    pools = pluralize(len(built.pools), "pool")
    show_line(f"{path} is in order: {pools}, {pluralize(built.workers, 'worker')}")


@config.command(epilog=EXAMPLES)
@json_option
@redis_options
def show(
    url: str | None, namespace: str | None, config_file: str | None, as_json: bool
) -> None:
    """Show every value that is used, and where it comes from.

    Passwords are not shown.
    """
    given = {"redis": {"url": url, "namespace": namespace}}
    values = configuration.effective(read_layers(config_file, given).merged())
    if as_json:
        show_json(values)
    else:
        click.echo("\n\n".join(_sections(values)))


def _sections(values: dict[str, Any]) -> list[str]:
    """Return the tables as TOML; the pools come last."""
    pools = [("[[pool]]", pool) for pool in values["pool"]]
    sections = [(f"[{name}]", values[name]) for name in values if name != "pool"]
    return [
        "\n".join([head, *(f"{key} = {_toml(value)}" for key, value in table.items())])
        for head, table in sections + pools
    ]


def _toml(value: Any) -> str:
    """Return a value as TOML: as JSON, for those that occur here but tables."""
    if isinstance(value, dict):
        pairs = (f"{_toml(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    text = json.dumps(value, ensure_ascii=False)
    # All that TOML escapes and JSON does not; bytes that were no UTF-8.
    text = text.replace("\x7f", "\\u007f")
    return text.encode("utf-8", "replace").decode("utf-8")
