"""`resqued delayed`: the jobs that wait for a time: look, run now, cancel.

A delayed job is named by a short id made of its time and its content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import click

from resqued.cli import choice
from resqued.cli.choice import (
    all_option,
    check_choice,
    class_option,
    ids_argument,
    queue_option,
)
from resqued.cli.options import (
    ListingGroup,
    confirm,
    json_option,
    page_options,
    wide_option,
    with_client,
    with_writing_client,
    yes_option,
)
from resqued.cli.table import Column, room_of, show_json, show_line, show_table
from resqued.cli.text import clip, duration, json_line
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.store.delayed import DelayedJob

EXAMPLES = """
\b
Examples:
  resqued delayed
  resqued delayed list --class myapp.jobs.Mail --json
  resqued delayed show 3f2a91c04d7e
  resqued delayed run 3f2a
  resqued delayed cancel --all --class myapp.jobs.Old --yes
"""
COLUMNS = (
    Column("ID", rank=0),
    Column("DUE", rank=1),
    Column("QUEUE", rank=4, least=8),
    Column("CLASS", least=16, keeps_end=True),
    Column("ARGUMENTS", rank=3, least=20),
)
_NOUN = "delayed job"


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def delayed() -> None:
    """List the jobs that wait for a time, run them now, or cancel them.

    Without a command: list.
    """


@delayed.command(name="list", epilog=EXAMPLES)
@page_options(count=20)
@class_option
@queue_option
@wide_option
@json_option
@with_client
def list_(
    client: Client,
    start: int,
    count: int,
    class_name: str | None,
    queue: str | None,
    is_wide: bool,
    as_json: bool,
) -> None:
    """List delayed jobs, those first that are due first."""
    if class_name is None and queue is None:
        found = client.delayed.page(start, count)
    else:
        matching = _matching(client, class_name, queue)
        found = list(islice(matching, start, start + count))
    if as_json:
        show_json([job.as_dict() for job in found])
        return
    now = client.registry.link.time()
    has_ages = room_of(is_wide=is_wide) is not None
    rows = [row_of(job, now if has_ages else None) for job in found]
    show_table(COLUMNS, rows, empty="no delayed jobs", is_wide=is_wide)


def _matching(
    client: Client, class_name: str | None, queue: str | None
) -> Iterator[DelayedJob]:
    for job in client.delayed:
        if class_name in (None, job.class_name) and queue in (None, job.queue):
            yield job


def due_in(job: DelayedJob, now: float | None) -> str:
    """Return when a job is due: in how long, if `now` is given, in seconds."""
    due = job.due_at
    if now is None or due is None:
        return job.due_text
    left = due.timestamp() - now
    return f"in {duration(left)}" if left > 0 else "now"


def row_of(job: DelayedJob, now: float | None) -> tuple[object, ...]:
    """Return a job as a row of COLUMNS; `now`, in seconds, if ages are wanted."""
    when = due_in(job, now)
    arguments = ", ".join(map(json_line, job.args))
    if not job.payload:
        arguments = job.raw
    return job.id, when, clip(job.queue, 60), job.class_name, clip(arguments, 100)


@delayed.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="ID")
@json_option
@with_client
def show(client: Client, job_id: str, as_json: bool) -> None:
    """Show all of a delayed job."""
    (job,) = pick(client, (job_id,))
    values = job.as_dict()
    if as_json:
        show_json(values)
        return
    for name, value in values.items():
        text = value if isinstance(value, str) else json_line(value)
        show_line(f"{name:<8}{text}")


@delayed.command(epilog=EXAMPLES)
@ids_argument
@all_option
@class_option
@queue_option
@with_writing_client
def run(
    client: Client,
    ids: tuple[str, ...],
    is_all: bool,
    class_name: str | None,
    queue: str | None,
) -> None:
    """Put delayed jobs on their queues now."""
    found = _chosen(client, ids, class_name, queue, is_all=is_all)
    act("enqueued", client.delayed.run_now, found)


@delayed.command(epilog=EXAMPLES)
@ids_argument
@all_option
@class_option
@queue_option
@yes_option
@with_writing_client
def cancel(
    client: Client,
    ids: tuple[str, ...],
    is_all: bool,
    class_name: str | None,
    queue: str | None,
    yes: bool,
) -> None:
    """Remove delayed jobs; they are gone then."""
    found = _chosen(client, ids, class_name, queue, is_all=is_all)
    what = f"Cancel {pluralize(len(ids), 'delayed job')}?"
    confirm("Cancel all delayed jobs that match?" if is_all else what, yes=yes)
    if is_all and class_name is None and queue is None:
        click.echo(f"cancelled {pluralize(client.delayed.clear(), 'delayed job')}")
        return
    act("cancelled", client.delayed.cancel, found)


def _chosen(
    client: Client,
    ids: tuple[str, ...],
    class_name: str | None,
    queue: str | None,
    *,
    is_all: bool,
) -> list[DelayedJob] | Iterator[DelayedJob]:
    is_filtered = class_name is not None or queue is not None
    check_choice(ids, is_all=is_all, is_filtered=is_filtered, noun="delayed jobs")
    # A list, because a walk misses jobs while others are taken away.
    return list(_matching(client, class_name, queue)) if is_all else pick(client, ids)


def pick(client: Client, ids: tuple[str, ...]) -> list[DelayedJob]:
    """Return the delayed jobs that ids mean; raise ResquedError if one means none."""
    return choice.pick(ids, client.delayed, noun=_NOUN, command="delayed")


def act(
    done: str,
    action: Callable[[DelayedJob], bool],
    jobs: list[DelayedJob] | Iterator[DelayedJob],
) -> None:
    """Do something to each job, and say to how many it was done."""
    choice.act_on_each(done, action, jobs, noun=_NOUN)
