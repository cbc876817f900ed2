"""`resqued retries`: the jobs that wait for another attempt: look, run now, cancel.

They are delayed jobs, and have the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from resqued.cli.delayed_commands import act, due_in, pick
from resqued.cli.job_lists import (
    Choice,
    JobFilter,
    Listing,
    choice_options,
    list_options,
    removal_options,
    show_backtrace,
    show_fields,
    show_options,
)
from resqued.cli.options import ListingGroup, confirm
from resqued.cli.table import Column, show_json
from resqued.cli.text import clip
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.errors import ResquedError
from resqued.store.delayed import DelayedJob
from resqued.store.waiting_retries import WaitingRetries, WaitingRetry

EXAMPLES = """
\b
Examples:
  resqued retries
  resqued retries list --class myapp.jobs.Mail --json
  resqued retries show 3f2a91c04d7e
  resqued retries run 3f2a
  resqued retries cancel --all --class myapp.jobs.Old --yes
"""
COLUMNS = (
    Column("ID", rank=0),
    Column("DUE", rank=1),
    Column("ATTEMPT", rank=5),
    Column("QUEUE", rank=4, least=8),
    Column("CLASS", least=16, keeps_end=True),
    Column("ERROR", rank=3, least=20),
)


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def retries() -> None:
    """List jobs that wait for another attempt; run or cancel them.

    Without a command: list.
    """


@retries.command(name="list", epilog=EXAMPLES)
@list_options
def list_(client: Client, listing: Listing) -> None:
    """List jobs that wait for another attempt, by their time."""
    found = listing.page(_matching(client, listing.which))
    listing.show(client, found, COLUMNS, _row, empty="no retries wait")


def _waiting(client: Client) -> WaitingRetries:
    return WaitingRetries(client.registry.link, client.registry.keys, client.delayed)


def _matching(client: Client, which: JobFilter) -> Iterator[WaitingRetry]:
    return (retry for retry in _waiting(client) if which.accepts(retry.job))


def _row(retry: WaitingRetry, now: float | None) -> tuple[object, ...]:
    job = retry.job
    about = (clip(job.queue, 60), job.class_name, clip(retry.error, 100))
    return (job.id, due_in(job, now), retry.attempt, *about)


@retries.command(epilog=EXAMPLES)
@show_options
def show(client: Client, job_id: str, as_json: bool) -> None:
    """Show all of a job that waits for another attempt."""
    (job,) = pick(client, (job_id,))
    retry = _waiting(client).of(job)
    if retry is None:
        raise ResquedError(
            f"delayed job {job.id} waits for no other attempt: see `resqued delayed"
            f" show {job.id}`"
        )
    values = retry.as_dict()
    if as_json:
        show_json(values)
        return
    failure = values.pop("failure") or {}
    told = ("failed_at", "exception", "error", "worker")
    values |= {name: failure[name] for name in told if name in failure}
    show_fields(values, 10)
    show_backtrace(failure)


@retries.command(epilog=EXAMPLES)
@choice_options
def run(client: Client, chosen: Choice) -> None:
    """Put jobs that wait for another attempt on their queues now."""
    act("enqueued", client.delayed.run_now, _chosen(client, chosen))


@retries.command(epilog=EXAMPLES)
@removal_options
def cancel(client: Client, chosen: Choice, yes: bool) -> None:
    """Remove jobs that wait; no failure is recorded."""
    found = _chosen(client, chosen)
    confirm(f"Cancel {pluralize(len(found), 'delayed job')}?", yes=yes)
    act("cancelled", _waiting(client).cancel, found)


def _chosen(client: Client, chosen: Choice) -> list[DelayedJob]:
    chosen.check("retries")
    if chosen.is_all:
        return [retry.job for retry in _matching(client, chosen.which)]
    waiting = _waiting(client)
    jobs = pick(client, chosen.ids)
    for job in jobs:
        if waiting.of(job) is None:
            raise ResquedError(
                f"delayed job {job.id} waits for no other attempt; `resqued retries`"
                " lists those that do"
            )
    return jobs
