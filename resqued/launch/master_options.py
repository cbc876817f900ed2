"""The options of a command that runs a master, and the resulting configuration.

Runs in the command, and in the master that the command becomes, at each reload.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from resqued.config import layers, loader
from resqued.config.layers import Layers
from resqued.config.loader import Config
from resqued.config.settings import changed_timings
from resqued.errors import ConfigError


class Instance(NamedTuple):
    """One of several services on a host: its queue list and its configuration file.

    The file is in the directory of the shared configuration file; it may not exist.
    """

    queues: str
    file_name: str


class MasterOptions(Struct, frozen=True, kw_only=True):
    """The options of a command that runs a master; None: not given.

    Durations are texts, as in the configuration.
    """

    queues: str | None = None
    instance: Instance | None = None
    workers: int | None = None
    modules: tuple[str, ...] = ()
    burst: bool = False
    interval: str | None = None
    grace: str | None = None
    stop_timeout: str | None = None
    log_level: str | None = None
    log_format: str | None = None
    log_file: str | None = None
    pid_file: str | None = None
    url: str | None = None
    namespace: str | None = None
    config_file: str | None = None
    # Only for a daemon.
    directory: str | None = None
    user: str | None = None
    group: str | None = None
    umask: str | None = None

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return the options as tables of the configuration, without the pool."""
        return {
            "redis": {"url": self.url, "namespace": self.namespace},
            "app": {"import": list(self.modules) or None, "directory": self.directory},
            "worker": {
                "interval": self.interval,
                "stop_timeout": self.stop_timeout,
            },
            "limits": {"grace": self.grace},
            "daemon": {
                "pid_file": self.pid_file,
                "user": self.user,
                "group": self.group,
                "umask": self.umask,
            },
            "log": {
                "level": self.log_level,
                "format": self.log_format,
                "file": self.log_file,
            },
        }


def read_config(options: MasterOptions) -> Config:
    """Return the configuration from files, environment and options, read now.

    Raises ConfigError with all faults, OptionsError for options that exclude each
    other.
    """
    found = layers.read_layers(
        options.config_file, options.tables(), own_file=own_file(options)
    )
    given = found.merged()
    if options.interval is None and (interval := os.environ.get("INTERVAL")):
        given.setdefault("worker", {})["interval"] = interval
    pool = _pool(options, found)
    if pool:
        given["pool"] = [pool]
    elif not given.get("pool"):
        raise ConfigError(
            "no queues: name them, as in `resqued work critical,high`, or set QUEUES,"
            " or write a [[pool]] into the configuration file"
        )
    config = loader.build(given, burst=options.burst)
    timings = changed_timings(os.environ.get("RESQUED_TIMINGS", ""))
    return replace(config, app=replace(config.app, timings=timings))


def own_file(options: MasterOptions) -> Path | None:
    """Return the file of the instance, or None if it does not exist."""
    if options.instance is None:
        return None
    shared = loader.file_in_use(options.config_file, os.environ) or loader.DEFAULT_PATH
    file = shared.parent / options.instance.file_name
    is_own = file.exists() and not (shared.exists() and file.samefile(shared))
    return file if is_own else None


def _pool(options: MasterOptions, found: Layers) -> dict[str, Any]:
    """Return the pool of the options; {} if the configuration file has the pools."""
    instance = options.instance
    if instance is None:
        return layers.named_pool(options.queues, options.workers, os.environ)
    if found.own.get("pool"):
        return {}
    return layers.named_pool(instance.queues, options.workers, os.environ)
