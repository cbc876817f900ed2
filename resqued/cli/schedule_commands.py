"""`resqued schedule`: the recurring jobs: when they are enqueued, on, off, and now."""

from __future__ import annotations

import click

from resqued.cli.options import (
    ListingGroup,
    confirm,
    json_option,
    wide_option,
    with_client,
    with_writing_client,
    yes_option,
)
from resqued.cli.table import Column, room_of, show_json, show_line, show_table
from resqued.cli.text import call, clip, duration, json_line
from resqued.client import Client
from resqued.errors import ResquedError
from resqued.scheduler.published_schedule import PublishedSchedule, published, read
from resqued.store.recurring import RecurringJobs, ScheduleState
from resqued.wire import timestamps

EXAMPLES = """
\b
Examples:
  resqued schedule
  resqued schedule show nightly --json
  resqued schedule run nightly
  resqued schedule disable nightly
"""
COLUMNS = (
    Column("NAME", rank=0),
    Column(
        "STATE",
        rank=1,
        styles={"disabled": "yellow", "overdue": "red", "unreadable": "red"},
    ),
    Column("NEXT", rank=1),
    Column("LAST", rank=3),
    Column("RULE", rank=2, least=12),
    Column("QUEUE", rank=5, least=8),
    Column("JOB", rank=4, least=16),
)
_name = click.argument("name")


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def schedule() -> None:
    """List recurring jobs, switch them on or off, or run one now.

    Without a command: list. Shown are those that masters of any host have.
    """


@schedule.command(name="list", epilog=EXAMPLES)
@wide_option
@json_option
@with_client
def list_(client: Client, is_wide: bool, as_json: bool) -> None:
    """List recurring jobs with their next and last times."""
    now = client.registry.link.time()
    found = list(published(_recurring(client), now))
    if as_json:
        show_json([each.as_dict() for each in found])
        return
    has_ages = room_of(is_wide=is_wide) is not None
    rows = [row_of(each, now, has_ages) for each in found]
    show_table(COLUMNS, rows, empty="no recurring jobs", is_wide=is_wide)


def _recurring(client: Client) -> RecurringJobs:
    return RecurringJobs(client.registry.link, client.registry.keys)


def row_of(found: PublishedSchedule, now: float, has_ages: bool) -> tuple[object, ...]:
    """Return a recurring job as a row of COLUMNS; `now` is in seconds."""
    due, schedule = found.due, found.schedule
    at = timestamps.read(found.last)
    last, coming = found.last, "" if due is None else timestamps.heartbeat(due)
    if has_ages:
        last = last if at is None else f"{duration(now - at.timestamp())} ago"
        coming = "never" if due is None else f"in {duration(due - now)}"
    if found.state != "enabled":
        coming = ""
    if schedule is None:
        return found.name, found.state, coming, last, clip(found.raw, 60), "", ""
    job = call(schedule.class_name, schedule.args)
    about = (coming, last, schedule.rule, schedule.queue, job)
    return found.name, found.state, *about


@schedule.command(epilog=EXAMPLES)
@_name
@json_option
@with_client
def show(client: Client, name: str, as_json: bool) -> None:
    """Show all of the recurring job NAME."""
    state = _find(client, name)
    values = read(name, state, client.registry.link.time()).as_dict()
    if as_json:
        show_json(values)
        return
    for key, value in values.items():
        text = value if isinstance(value, str) else json_line(value)
        show_line(f"{key:<12}{text}")


def _find(client: Client, name: str) -> ScheduleState:
    found = _recurring(client).states().get(name)
    if found is None:
        raise ResquedError(
            f"there is no recurring job {name!r}; `resqued schedule` lists them"
        )
    return found


@schedule.command(epilog=EXAMPLES)
@_name
@with_writing_client
def run(client: Client, name: str) -> None:
    """Put the job of NAME on its queue now.

    Its next time stays as it is.
    """
    found = read(name, _find(client, name), client.registry.link.time()).schedule
    if found is None:
        raise ResquedError(
            f"schedule {name} cannot be read; `resqued schedule remove {name}`"
            " removes it"
        )
    client.enqueue_to(found.queue, found.class_name, *found.args)
    show_line(f"enqueued {call(found.class_name, found.args)} on queue {found.queue}")


@schedule.command(epilog=EXAMPLES)
@_name
@with_writing_client
def enable(client: Client, name: str) -> None:
    """Enqueue NAME again at its times, from the next one on."""
    _find(client, name)
    changed = _recurring(client).enable(name)
    show_line(f"enabled {name}" if changed else f"{name} is enabled already")


@schedule.command(epilog=EXAMPLES)
@_name
@with_writing_client
def disable(client: Client, name: str) -> None:
    """Enqueue NAME no more, on any host, until `enable`."""
    _find(client, name)
    changed = _recurring(client).disable(name)
    show_line(f"disabled {name}" if changed else f"{name} is disabled already")


@schedule.command(epilog=EXAMPLES)
@_name
@yes_option
@with_writing_client
def remove(client: Client, name: str, yes: bool) -> None:
    """Remove NAME, which no master has any more.

    A master that has it publishes it again within a minute, and enabled.
    """
    _find(client, name)
    confirm(f"Remove recurring job {name}?", yes=yes)
    _recurring(client).remove(name)
    show_line(f"removed {name}")
