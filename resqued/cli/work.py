"""`resqued work`: the master in the foreground, which is what systemd starts."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from msgspec.structs import fields

from resqued.cli.options import (
    app_option,
    pid_file_option,
    redis_options,
    usage_error,
)
from resqued.config.layers import OptionsError
from resqued.config.pools import MOST_WORKERS
from resqued.launch import launcher
from resqued.launch.master_options import Instance, MasterOptions
from resqued.log import logger
from resqued.systemd import instance as naming

EXAMPLES = """
\b
Examples:
  resqued work critical,high -n 4 -a myapp.jobs
  resqued work '*,!slow' -a myapp.jobs --burst
  resqued work -c /etc/resqued/resqued.toml
  resqued work --instance critical,high        as resqued@critical,high does

\b
Signals: QUIT finish the running jobs and exit; TERM, INT end them and exit;
USR1 end them and continue; USR2 pause; CONT resume; HUP reload; TTIN, TTOU one
worker more, one fewer.
"""


_POOL_OPTIONS = (
    click.argument("queues", required=False),
    click.option(
        "--instance",
        metavar="NAME",
        help="Queue list in the form of a unit resqued@NAME; all means *.",
    ),
    click.option(
        *("-n", "--workers"),
        type=click.IntRange(1, MOST_WORKERS),
        help="How many workers [COUNT; 1].",
    ),
    app_option,
    click.option(
        "--burst",
        is_flag=True,
        help="Exit when no job waits; INTERVAL=0 means the same.",
    ),
    click.option(
        "--interval",
        metavar="SECONDS",
        help="Time between two looks at the queues if Redis does not notify [5].",
    ),
    click.option(
        "--grace", metavar="SECONDS", help="Time from TERM to KILL for a job [4]."
    ),
    click.option(
        "--stop-timeout",
        metavar="SECONDS",
        help="QUIT ends running jobs after this time [RESQUED_STOP_TIMEOUT; never].",
    ),
    click.option(
        "--log-level",
        type=click.Choice(tuple(logger.LEVELS)),
        help="Lowest level [info].",
    ),
    click.option(
        "--log-format",
        type=click.Choice(logger.FORMATS),
        help="Form of the log [auto].",
    ),
    click.option(
        "--log-file",
        metavar="FILE",
        help="Where the log goes, and what jobs print [RESQUED_LOG_FILE].",
    ),
    pid_file_option,
    redis_options,
)


def pool_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add QUEUES and the options of every command that runs a master.

    They are passed as one MasterOptions, first.
    """
    names = {field.name for field in fields(MasterOptions)}

    @wraps(function)
    def command(**given: Any) -> Any:
        values = {name: given.pop(name) for name in names & given.keys()}
        values["instance"] = _instance(values["instance"], values["queues"])
        try:
            return function(MasterOptions(**values), **given)
        except OptionsError as error:
            raise usage_error(error) from None

    for option in reversed(_POOL_OPTIONS):
        command = option(command)
    return command


def _instance(escaped: str | None, queues: str | None) -> Instance | None:
    """Return what the name of an instance means, as it stands in a unit's."""
    if escaped is None:
        return None
    if queues is not None:
        raise click.UsageError("--instance names the queues: leave QUEUES out.")
    name = naming.unescape(escaped)
    return Instance(naming.queue_list(name), naming.file_name(name))


@click.command(epilog=EXAMPLES)
@pool_options
def work(options: MasterOptions) -> int:
    """Run a pool of workers on QUEUES until it is stopped.

    QUEUES is a list such as critical,high,*: its order is the priority. * and ?
    and [a-z] match known queues, !name leaves some out.
    """
    code = launcher.resume_master(options)
    return launcher.run_here(options) if code is None else code
