"""The layers of the configuration, read one by one and made one.

From the lowest: the defaults, the file that all instances share, the file of one
instance, the environment, the options of a command. The later wins, key by key.
Reads the files and variables that it is given, and prints nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from resqued.config import loader
from resqued.config.pools import MOST_WORKERS
from resqued.errors import ConfigError, ExitCode, ResquedError
from resqued.wire.keys import DEFAULT_NAMESPACE
from resqued.wire.queue_list import parse

# The options of a command that set a key under another name than the key's own.
_OPTIONS = {
    ("redis", "url"): "--redis",
    ("app", "import"): "--app",
    ("log", "level"): "--log-level",
    ("log", "format"): "--log-format",
    ("log", "file"): "--log-file",
    ("daemon", "pid_file"): "--pidfile",
}

Tables = dict[str, Any]
# Values by section and key; None stands for what was not given.
Given = Mapping[str, Mapping[str, Any]]


class OptionsError(ResquedError):
    """Options of a command that do not go together."""

    exit_code = ExitCode.USAGE


class Layers(NamedTuple):
    """The tables of each layer, the lowest first."""

    shared: Tables
    own: Tables
    environment: Tables
    options: Tables

    def merged(self) -> Tables:
        """Return the layers as one."""
        return loader.merge(*self)

    def for_command(self) -> Tables:
        """Return the layers as one, for a command that uses a running master or none.

        Its option --namespace says where to look, and moves no pool of the file.
        """
        merged = self.merged()
        if not merged.get("pool"):
            return merged
        below = loader.merge(self.shared, self.own, self.environment)
        default = text_at(below, "redis", "namespace") or DEFAULT_NAMESPACE
        pools = [{"namespace": default, **pool} for pool in merged["pool"]]
        return {**merged, "pool": pools}


def read_layers(
    config_file: str | None, given: Given, *, own_file: Path | None = None
) -> Layers:
    """Return file, environment and options.

    `config_file` is the file that an option names, None for the usual one; `own_file`
    is that of an instance. Raises ConfigError with all that is wrong, each problem
    named by where it stands.
    """
    path = loader.file_in_use(config_file, os.environ)
    problems: list[str] = []
    layers: list[Tables] = []
    readers: tuple[Callable[[], Tables], ...] = (
        lambda: loader.read_file(path) if path else {},
        lambda: loader.read_file(own_file) if own_file else {},
        lambda: loader.from_environment(os.environ),
        lambda: from_options(given),
    )
    for read in readers:
        try:
            layers.append(read())
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return Layers(*layers)


def from_options(given: Given) -> Tables:
    """Return the tables of options; raise ConfigError with all that is wrong."""
    found: Tables = {}
    problems = []
    for section, values in given.items():
        for key, value in values.items():
            if value is None:
                continue
            found.setdefault(section, {})[key] = value
            name = _OPTIONS.get((section, key), f"--{key.replace('_', '-')}")
            problems += loader.problems_of(section, key, value, name)
    if problems:
        raise ConfigError(*problems)
    return found


def named_pool(
    queues: str | None, workers: int | None, environ: Mapping[str, str]
) -> Tables:
    """Return the pool of arguments, or of Resque's own variables; {} without either.

    Raises QueueListError if the list names no queue, ConfigError if COUNT is not a
    number from 1, OptionsError if there is a number of workers and no queue list.
    """
    text, count = queues, environ.get("COUNT")
    if text is None:
        # QUEUES wins even when it is empty, as in Ruby (wire format 3.3).
        text = environ.get("QUEUES", environ.get("QUEUE"))
    if text is None:
        if workers is not None:
            raise OptionsError("--workers needs QUEUES; pools have their own")
        return {}
    parse(text)
    # A variable that is set and empty says nothing.
    if workers is None and count:
        # Digits without end would be no number: int() takes 4300.
        is_number = count.strip().isdecimal() and len(count) < 9
        if not (is_number and 1 <= int(count) <= MOST_WORKERS):
            raise ConfigError(
                f"COUNT is {count!r}, and must be a whole number from 1 to"
                f" {MOST_WORKERS}"
            )
        workers = int(count)
    return {"queues": text, "workers": 1 if workers is None else workers}


def text_at(tables: Mapping[str, Any], section: str, key: str) -> str:
    """Return the text of one key of tables that were not checked; "" without one."""
    table = tables.get(section)
    found = table.get(key) if isinstance(table, Mapping) else None
    return found if isinstance(found, str) else ""
