"""`resqued work`: the master in the foreground, which is what systemd starts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from resqued.cli.options import app_option, pid_file_option, redis_options
from resqued.config import loader
from resqued.config.layers import Given, read_layers
from resqued.errors import ConfigError, ExitCode
from resqued.log import logfile, logger
from resqued.master import reexec
from resqued.master.reexec import HandoffState
from resqued.supervisor import MasterFiles, Supervisor
from resqued.system.pidfile import PidFile
from resqued.systemd import instance as naming
from resqued.wire.queue_list import parse

F = TypeVar("F", bound=Callable[..., Any])

EXAMPLES = """
\b
Examples:
  resqued work critical,high -n 4 -a myapp.jobs
  resqued work '*,!slow' -a myapp.jobs --burst
  resqued work -c /etc/resqued/resqued.toml
  resqued work --instance critical,high        as resqued@critical,high does

\b
Signals: QUIT finish the running jobs and exit; TERM, INT end them and exit;
USR1 end them and go on; USR2 pause; CONT resume; HUP reload; TTIN, TTOU one
worker more, one fewer.
"""


_POOL_OPTIONS = (
    click.argument("queues", required=False),
    click.option(
        "--instance",
        metavar="NAME",
        help="Queue list, as systemd writes it in resqued@NAME; all: every one.",
    ),
    click.option(
        *("-n", "--workers"),
        type=click.IntRange(min=1),
        help="How many workers [COUNT; 1].",
    ),
    app_option,
    click.option(
        "--burst",
        is_flag=True,
        help="Exit when the queues are empty [INTERVAL=0].",
    ),
    click.option(
        "--interval", metavar="SECONDS", help="How often to look without word."
    ),
    click.option("--grace", metavar="SECONDS", help="Between TERM and KILL for a job."),
    click.option(
        "--log-level", type=click.Choice(tuple(logger.LEVELS)), help="Least level."
    ),
    click.option(
        "--log-format", type=click.Choice(logger.FORMATS), help="Form of the log."
    ),
    click.option(
        "--log-file",
        metavar="FILE",
        help="Where the log goes, and what jobs print [RESQUED_LOG_FILE].",
    ),
    pid_file_option,
    redis_options,
)


def pool_options(function: F) -> F:
    """Add QUEUES and the options of every command that runs a master."""
    for option in reversed(_POOL_OPTIONS):
        function = option(function)
    return function


@click.command(epilog=EXAMPLES)
@pool_options
def work(**given: Any) -> int:
    """Run a pool of workers on QUEUES until told to stop.

    QUEUES is a list such as critical,high,*: its order is the priority. * and ?
    and [a-z] match known queues, !name leaves some out.
    """
    read = reader(**given)
    handoff = reexec.load_handoff(os.environ)
    built = read()
    if handoff is not None:
        return resume_master(built, read, handoff)
    place, log_file = files(built)
    pid_file = PidFile.take(place) if place else None
    try:
        if pid_file is not None:
            pid_file.write()
        with logfile.redirected(log_file):
            return run(built, read, files=MasterFiles(pid_file, log_file))
    finally:
        if pid_file is not None:
            pid_file.release()


Read = Callable[[], loader.Config]


def reader(
    *,
    queues: str | None,
    instance: str | None,
    workers: int | None,
    modules: tuple[str, ...],
    burst: bool,
    interval: str | None,
    grace: str | None,
    log_level: str | None,
    log_format: str | None,
    log_file: str | None,
    pid_file: str | None,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
    directory: str | None = None,
    **daemon: str | None,
) -> Read:
    """Return what reads the configuration: at the start, and at each reload."""

    def read() -> loader.Config:
        own = _Instance.of(instance, config_file, queues)
        options: Given = {
            "redis": {"url": url, "namespace": namespace},
            "app": {"import": list(modules) or None, "directory": directory},
            "worker": {"interval": interval},
            "limits": {"grace": grace},
            "daemon": {"pid_file": pid_file, **daemon},
            "log": {"level": log_level, "format": log_format, "file": log_file},
        }
        own_file = own.file if own else None
        given = read_layers(config_file, options, own_file=own_file).merged()
        pool = own.pool(workers) if own else _pool(queues, workers)
        return _build(given, interval, pool, burst=burst)

    return read


def files(built: loader.Config) -> tuple[Path | None, Path | None]:
    """Return pid file and log file, as far as they are configured."""
    named = (built.daemon.pid_file, built.daemon.log_file)
    pid_file, log_file = (Path(name).absolute() if name else None for name in named)
    return pid_file, log_file


def run(
    built: loader.Config,
    read: Read,
    handoff: HandoffState | None = None,
    *,
    files: MasterFiles,
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """Run a master in this process, whose output is where it is to be."""
    logger.configure(level=built.log_level, style=built.log_format)
    master = Supervisor(built, read, handoff, on_ready=on_ready, files=files)
    return int(master.run())


def resume_master(built: loader.Config, read: Read, handoff: HandoffState) -> int:
    """Take a running master over, or see whether that could be done.

    It was a daemon, or not, and its files are open: there is nothing to prepare.
    """
    _, log_file = files(built)
    if handoff.is_dry:
        logger.configure(level=built.log_level, style=built.log_format)
        Supervisor(built, read, handoff).check()
        return ExitCode.OK
    handed = handoff.values["pid_file"]
    pid_file = PidFile.inherited(handed) if handed else None
    try:
        return run(built, read, handoff, files=MasterFiles(pid_file, log_file))
    finally:
        if pid_file is not None:
            pid_file.release()


class _Instance(NamedTuple):
    """One of several services on a host, each with queues of its own."""

    queues: str
    file: Path | None

    @classmethod
    def of(
        cls, escaped: str | None, config_file: str | None, queues: str | None
    ) -> _Instance | None:
        """Return the instance of that name in a unit's; None for none."""
        if escaped is None:
            return None
        if queues is not None:
            raise click.UsageError("--instance names the queues: leave QUEUES out.")
        name = naming.unescape(escaped)
        common = loader.file_in_use(config_file, os.environ) or loader.DEFAULT_PATH
        file = common.parent / naming.file_name(name)
        is_own = file.exists() and not (common.exists() and file.samefile(common))
        return cls(naming.queue_list(name), file if is_own else None)

    def pool(self, workers: int | None) -> dict[str, Any]:
        """Return its pool; nothing if its own file has pools."""
        if self.file is not None and loader.load(self.file).get("pool"):
            return {}
        return _pool(self.queues, workers)


def _build(
    given: dict[str, Any], interval: str | None, pool: dict[str, Any], *, burst: bool
) -> loader.Config:
    if interval is None and "INTERVAL" in os.environ:
        given.setdefault("worker", {})["interval"] = os.environ["INTERVAL"]
    if pool:
        given["pool"] = [pool]
    elif not given.get("pool"):
        raise ConfigError(
            "no queues: name them, as in `resqued work critical,high`, or set QUEUES,"
            " or write a [[pool]] into the configuration file"
        )
    return loader.build(given, burst=burst)


def _pool(queues: str | None, workers: int | None) -> dict[str, Any]:
    """Return the pool that arguments or Resque's own variables name, if they do."""
    text, count = queues, os.environ.get("COUNT")
    if text is None:
        # QUEUES wins even when it is empty, as in Ruby (wire format 3.3).
        text = os.environ.get("QUEUES", os.environ.get("QUEUE"))
    if text is None:
        if workers is not None:
            raise click.UsageError("--workers needs QUEUES; pools have their own.")
        return {}
    parse(text)
    if workers is None and count is not None:
        if not count.strip().isdigit() or not int(count):
            raise ConfigError(f"COUNT is {count!r}, and must be a whole number from 1")
        workers = int(count)
    return {"queues": text, "workers": 1 if workers is None else workers}
