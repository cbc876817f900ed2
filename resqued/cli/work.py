"""`resqued work`: the master in the foreground, which is what systemd starts."""

from __future__ import annotations

import os
from typing import Any

import click

from resqued import config, log, takeover
from resqued.cli.options import app_option, redis_options, tables
from resqued.core.queues import parse
from resqued.errors import ConfigError, ExitCode
from resqued.supervisor import Supervisor

EXAMPLES = """
\b
Examples:
  resqued work critical,high -n 4 -a myapp.jobs
  resqued work '*,!slow' -a myapp.jobs --burst
  resqued work -c /etc/resqued/resqued.toml

\b
Signals: QUIT finish the running jobs and exit; TERM, INT end them and exit;
USR1 end them and go on; USR2 pause; CONT resume; HUP reload; TTIN, TTOU one
worker more, one fewer.
"""


@click.command(epilog=EXAMPLES)
@click.argument("queues", required=False)
@click.option(
    "-n", "--workers", type=click.IntRange(min=1), help="How many workers [COUNT; 1]."
)
@app_option
@click.option(
    "--burst", is_flag=True, help="Exit when the queues are empty [INTERVAL=0]."
)
@click.option("--interval", metavar="SECONDS", help="How often to look without word.")
@click.option("--grace", metavar="SECONDS", help="Between TERM and KILL for a job.")
@click.option("--log-level", type=click.Choice(tuple(log.LEVELS)), help="Least level.")
@click.option("--log-format", type=click.Choice(log.FORMATS), help="Form of the log.")
@redis_options
def work(
    queues: str | None,
    workers: int | None,
    modules: tuple[str, ...],
    burst: bool,
    interval: str | None,
    grace: str | None,
    log_level: str | None,
    log_format: str | None,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> int:
    """Run a pool of workers on QUEUES until told to stop.

    QUEUES is a list such as critical,high,*: its order is the priority. * and ?
    and [a-z] match known queues, !name leaves some out.
    """

    def read() -> config.Config:
        """Return the configuration as it is now: at the start, and at each reload."""
        given = tables(
            config_file,
            redis={"url": url, "namespace": namespace},
            app={"import": list(modules) or None},
            worker={"interval": interval},
            limits={"grace": grace},
            log={"level": log_level, "format": log_format},
        )
        return _build(given, interval, _pool(queues, workers, _count()), burst=burst)

    estate = takeover.received(os.environ)
    built = read()
    log.configure(level=built.log_level, style=built.log_format)
    master = Supervisor(built, read, estate)
    if estate is not None and estate.is_dry:
        master.check()
        return ExitCode.OK
    return int(master.run())


def _count() -> str | None:
    return os.environ.get("COUNT")


def _build(
    given: dict[str, Any], interval: str | None, pool: dict[str, Any], *, burst: bool
) -> config.Config:
    if interval is None and "INTERVAL" in os.environ:
        given.setdefault("worker", {})["interval"] = os.environ["INTERVAL"]
    if pool:
        given["pool"] = [pool]
    elif not given.get("pool"):
        raise ConfigError(
            "no queues: name them, as in `resqued work critical,high`, or set QUEUES,"
            " or write a [[pool]] into the configuration file"
        )
    return config.build(given, burst=burst)


def _pool(queues: str | None, workers: int | None, count: str | None) -> dict[str, Any]:
    """Return the pool that arguments or Resque's own variables name, if they do."""
    text = queues
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
