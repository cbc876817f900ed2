"""`resqued logs`: what journald keeps of this program, chosen by the fields of events.

Becomes journalctl(1), which does all the rest.
"""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Mapping
from typing import Any

import click

from resqued.cli.options import json_option
from resqued.cli.table import show_line
from resqued.errors import ResquedError
from resqued.systemd import instance as naming

EXAMPLES = """
\b
Examples:
  resqued logs -f
  resqued logs --queue mail -p warning --since today
  resqued logs --class myapp.jobs.Mail --event job_failed --json
  resqued logs --instance mail -n 50 -- --no-pager --output verbose

\b
With --print the command line of journalctl is shown, and not run.
"""

PROGRAM = "journalctl"
UNITS = "resqued*"
# The fields that events have in the journal, by the option that asks for each.
FIELDS = {
    "queue": "RESQUED_QUEUE",
    "class_name": "RESQUED_CLASS",
    "worker": "RESQUED_WORKER",
    "event": "RESQUED_EVENT",
    "role": "RESQUED_ROLE",
    "generation": "RESQUED_GENERATION",
}
ROLES = ("master", "zygote", "worker", "child")


@click.command(epilog=EXAMPLES)
@click.argument("words", nargs=-1, metavar="[-- JOURNALCTL OPTIONS]")
@click.option("--queue", metavar="NAME", help="Only of jobs of this queue.")
@click.option(
    "--class", "class_name", metavar="NAME", help="Only of jobs of this class."
)
@click.option("--worker", metavar="ID", help="Only of this worker.")
@click.option(
    "--event", metavar="NAME", help="Only events of this name, such as job_failed."
)
@click.option("--role", type=click.Choice(ROLES), help="Only of this kind of process.")
@click.option("--generation", type=int, metavar="N", help="Only of this generation.")
@click.option("--instance", metavar="NAME", help="Only of the unit resqued@NAME.")
@click.option("--unit", metavar="NAME", help="Only of this unit; may have wildcards.")
@click.option(
    "-p",
    "--priority",
    metavar="LEVEL",
    help="Only of this level, such as warning, or a higher one.",
)
@click.option(
    "--since", metavar="TIME", help="Only from this time on, such as today or -1h."
)
@click.option("--until", metavar="TIME", help="Only up to this time.")
@click.option("-n", "--lines", metavar="N", help="Only the last N records.")
@click.option("-f", "--follow", is_flag=True, help="Show new records as they come.")
@click.option("--user", is_flag=True, help="Only of the units of this user.")
@json_option
@click.option(
    "--print",
    "only_print",
    is_flag=True,
    help="Show the command of journalctl, and do not run it.",
)
def logs(
    words: tuple[str, ...],
    instance: str | None,
    unit: str | None,
    as_json: bool,
    only_print: bool,
    **values: Any,
) -> None:
    """Show the journal of resqued, by queue, class, worker or event.

    Options that choose hold together. Where nothing is chosen, it is all of the
    units resqued*. What follows after -- goes to journalctl as it is.
    """
    if unit is not None and instance is not None:
        raise click.UsageError("--unit and --instance name a unit both: give one.")
    values["unit"] = unit if instance is None else naming.unit(instance)
    values["output"] = "json" if as_json else None
    command = [PROGRAM, *_options(values), *words, *_matches(values)]
    if only_print:
        show_line(shlex.join(command))
    else:
        _become(command)


def _matches(values: Mapping[str, Any]) -> list[str]:
    """Return FIELD=value for each field that was asked for."""
    asked = {field: values[name] for name, field in FIELDS.items()}
    return [f"{name}={value}" for name, value in asked.items() if value is not None]


def _options(values: Mapping[str, Any]) -> list[str]:
    """Return what journalctl itself is to be told."""
    user, unit = values["user"], values["unit"]
    if unit is None and not _matches(values):
        unit = UNITS
    given = {("user-unit" if user else "unit"): unit}
    for name in ("priority", "since", "until", "lines", "output"):
        given[name] = values[name]
    return [
        *(["--user"] if user else []),
        *(f"--{name}={value}" for name, value in given.items() if value is not None),
        *(["--follow"] if values["follow"] else []),
    ]


def _become(command: list[str]) -> None:
    # Python has it ignored, and what is ignored stays so: `| head` would be an error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is wanted
    except FileNotFoundError:
        raise ResquedError(
            f"there is no {PROGRAM} here: the log goes where that of `resqued work`"
            " goes, which is its standard error unless you sent it elsewhere"
        ) from None
    except OSError as error:
        raise ResquedError(f"{PROGRAM} cannot be run: {error.strerror}") from None
