"""Options that several commands share, and what they make of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from resqued import config
from resqued.client import Client

F = TypeVar("F", bound=Callable[..., Any])


def redis_options(function: F) -> F:
    """Add --redis, --namespace and --config."""
    for option in reversed(
        (
            click.option(
                "-r", "--redis", "url", metavar="URL", help="Redis to use [REDIS_URL]."
            ),
            click.option(
                "-N", "--namespace", metavar="NAME", help="Prefix of all keys."
            ),
            click.option(
                "-c",
                "--config",
                "config_file",
                metavar="FILE",
                help="Configuration in TOML [RESQUED_CONFIG].",
            ),
        )
    ):
        function = option(function)
    return function


def json_option(function: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def tables(config_file: str | None, **given: dict[str, Any]) -> dict[str, Any]:
    """Return file, environment and options as one, the later winning."""
    path = config.file_in_use(config_file, os.environ)
    options = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in given.items()
    }
    return config.merge(
        config.load(path) if path else {},
        config.from_environment(os.environ),
        options,
    )


def client(url: str | None, namespace: str | None, config_file: str | None) -> Client:
    """Return a client for what the options, the environment and the file say."""
    built = config.build(
        tables(config_file, redis={"url": url, "namespace": namespace})
    )
    return Client(built.app.url, namespace=built.app.namespace)
