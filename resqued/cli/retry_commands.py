"""`resqued retries`: the jobs that wait for another attempt: look, run now, cancel.

They are delayed jobs, and have the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import click

from resqued.cli.choice import (
    all_option,
    check_choice,
    class_option,
    ids_argument,
    queue_option,
)
from resqued.cli.delayed_commands import act, due_in, pick
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
from resqued.cli.text import clip, json_line
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
    """List the jobs that wait for another attempt, run them now, or cancel them.

    Without a command: list.
    """


@retries.command(name="list", epilog=EXAMPLES)
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
    """List the jobs that wait for another attempt, those first that are due first."""
    matching = _matching(client, class_name, queue)
    found = list(islice(matching, start, start + count))
    if as_json:
        show_json([retry.as_dict() for retry in found])
        return
    now = client.registry.link.time()
    has_ages = room_of(is_wide=is_wide) is not None
    rows = [_row(retry, now if has_ages else None) for retry in found]
    show_table(COLUMNS, rows, empty="no retries wait", is_wide=is_wide)


def _waiting(client: Client) -> WaitingRetries:
    return WaitingRetries(client.registry.link, client.registry.keys, client.delayed)


def _matching(
    client: Client, class_name: str | None, queue: str | None
) -> Iterator[WaitingRetry]:
    for retry in _waiting(client):
        job = retry.job
        if class_name in (None, job.class_name) and queue in (None, job.queue):
            yield retry


def _row(retry: WaitingRetry, now: float | None) -> tuple[object, ...]:
    job = retry.job
    about = (clip(job.queue, 60), job.class_name, clip(retry.error, 100))
    return (job.id, due_in(job, now), retry.attempt, *about)


@retries.command(epilog=EXAMPLES)
@click.argument("job_id", metavar="ID")
@json_option
@with_client
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
    for name, value in values.items():
        text = value if isinstance(value, str) else json_line(value)
        show_line(f"{name:<10}{text}")
    for line in failure.get("backtrace") or ():
        show_line(f"  {line}")


@retries.command(epilog=EXAMPLES)
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
    """Put jobs that wait for another attempt on their queues now."""
    found = _chosen(client, ids, class_name, queue, is_all=is_all)
    act("enqueued", client.delayed.run_now, found)


@retries.command(epilog=EXAMPLES)
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
    """Remove jobs that wait for another attempt; no failure is recorded."""
    found = _chosen(client, ids, class_name, queue, is_all=is_all)
    confirm(f"Cancel {pluralize(len(found), 'delayed job')}?", yes=yes)
    act("cancelled", _waiting(client).cancel, found)


def _chosen(
    client: Client,
    ids: tuple[str, ...],
    class_name: str | None,
    queue: str | None,
    *,
    is_all: bool,
) -> list[DelayedJob]:
    is_filtered = class_name is not None or queue is not None
    check_choice(ids, is_all=is_all, is_filtered=is_filtered, noun="retries")
    if is_all:
        return [retry.job for retry in _matching(client, class_name, queue)]
    waiting = _waiting(client)
    jobs = pick(client, ids)
    for job in jobs:
        if waiting.of(job) is None:
            raise ResquedError(f"delayed job {job.id} waits for no other attempt")
    return jobs
