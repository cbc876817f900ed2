"""`resqued delayed`: the jobs that wait for a time: look, run now, cancel.

A delayed job is named by a short id made of its time and its content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import click

from resqued.cli import choice
from resqued.cli.job_lists import (
    Choice,
    JobFilter,
    Listing,
    choice_options,
    list_options,
    removal_options,
    show_fields,
    show_options,
)
from resqued.cli.options import ListingGroup, confirm
from resqued.cli.table import Column, show_json
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
    """List jobs that wait for a time; run or cancel them.

    Without a command: list.
    """


@delayed.command(name="list", epilog=EXAMPLES)
@list_options
def list_(client: Client, listing: Listing) -> None:
    """List delayed jobs, those first that are due first."""
    if listing.which.is_any:
        found = client.delayed.page(listing.start, listing.count)
    else:
        found = listing.page(_matching(client, listing.which))
    listing.show(client, found, COLUMNS, row_of, empty="no delayed jobs")


def _matching(client: Client, which: JobFilter) -> Iterator[DelayedJob]:
    return filter(which.accepts, client.delayed)


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
@show_options
def show(client: Client, job_id: str, as_json: bool) -> None:
    """Show all of a delayed job."""
    (job,) = pick(client, (job_id,))
    if as_json:
        show_json(job.as_dict())
    else:
        show_fields(job.as_dict(), 8)


@delayed.command(epilog=EXAMPLES)
@choice_options
def run(client: Client, chosen: Choice) -> None:
    """Put delayed jobs on their queues now."""
    act("enqueued", client.delayed.run_now, _chosen(client, chosen))


@delayed.command(epilog=EXAMPLES)
@removal_options
def cancel(client: Client, chosen: Choice, yes: bool) -> None:
    """Remove delayed jobs; they are gone then."""
    found = _chosen(client, chosen)
    what = f"Cancel {pluralize(len(chosen.ids), _NOUN)}?"
    is_all = chosen.is_all
    confirm("Cancel all delayed jobs that match?" if is_all else what, yes=yes)
    if is_all and chosen.which.is_any:
        click.echo(f"cancelled {pluralize(client.delayed.clear(), _NOUN)}")
        return
    act("cancelled", client.delayed.cancel, found)


def _chosen(client: Client, chosen: Choice) -> list[DelayedJob]:
    chosen.check(f"{_NOUN}s")
    if chosen.is_all:
        # A list, because a walk misses jobs while others are taken away.
        return list(_matching(client, chosen.which))
    return pick(client, chosen.ids)


def pick(client: Client, ids: tuple[str, ...]) -> list[DelayedJob]:
    """Return the delayed jobs that ids mean; raise ResquedError if one means none."""
    return choice.pick(ids, client.delayed, noun=_NOUN, command="delayed")


def act(
    done: str,
    action: Callable[[DelayedJob], bool],
    jobs: Iterable[DelayedJob],
) -> None:
    """Do something to each job, and say to how many it was done."""
    choice.act_on_each(done, action, jobs, noun=_NOUN)
