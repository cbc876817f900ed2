"""`resqued quarantine`: the jobs that were set aside: look, release, remove.

A job is named by a short id made of the content of its entry.
"""

from __future__ import annotations

import click

from resqued.cli.choice import act_on_each, pick
from resqued.cli.job_lists import (
    Choice,
    Listing,
    choice_options,
    list_options,
    removal_options,
    show_backtrace,
    show_fields,
    show_options,
)
from resqued.cli.options import ListingGroup, confirm
from resqued.cli.table import Column, show_json, show_line
from resqued.cli.text import clip, duration
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.store.quarantine import QuarantinedJob
from resqued.wire import timestamps

EXAMPLES = """
\b
Examples:
  resqued quarantine
  resqued quarantine list --class myapp.jobs.Resize --json
  resqued quarantine show 3f2a91c04d7e
  resqued quarantine release 3f2a
  resqued quarantine remove --all --queue images --yes
"""
COLUMNS = (
    Column("ID", rank=0),
    Column("SINCE", rank=1),
    Column("DEATHS", rank=5),
    Column("QUEUE", rank=4, least=8),
    Column("CLASS", least=16, keeps_end=True),
    Column("ERROR", rank=3, least=20),
)
_NOUN = "quarantined job"


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def quarantine() -> None:
    """List, release or remove jobs that kill their processes.

    Without a command: list. An ID may be shortened as long as it is the only one
    that begins so.
    """


@quarantine.command(name="list", epilog=EXAMPLES)
@list_options
def list_(client: Client, listing: Listing) -> None:
    """List the jobs that were set aside, the newest first."""
    if listing.which.is_any:
        found = client.quarantine.page(listing.start, listing.count)
    else:
        found = listing.page(client.quarantine.matching(*listing.which))
    listing.show(client, found, COLUMNS, _row, empty="no quarantined jobs")


def _row(job: QuarantinedJob, now: float | None) -> tuple[object, ...]:
    failure = job.failure
    error = f"{failure.exception}: {failure.error}"
    if not failure.fields:
        error = job.entry.decode("utf-8", "backslashreplace")
    about = (clip(job.queue, 60), job.class_name, clip(error, 100))
    return (job.id, _since(job, now), len(job.deaths), *about)


def _since(job: QuarantinedJob, now: float | None) -> str:
    at = job.quarantined_at
    if at is None:
        return ""
    if now is None:
        return timestamps.heartbeat(at.timestamp())
    return f"{duration(max(0.0, now - at.timestamp()))} ago"


@quarantine.command(epilog=EXAMPLES)
@show_options
def show(client: Client, job_id: str, as_json: bool) -> None:
    """Show all of a job that was set aside, with each death."""
    (job,) = _pick(client, (job_id,))
    values = job.as_dict()
    if as_json:
        show_json(values)
        return
    failure = values.pop("failure", {})
    deaths = values.pop("deaths", ())
    show_fields(values, 16)
    for death in deaths:
        show_line(f"{'death':<16}{death.get('died_at')} {death.get('worker')}")
        show_line(f"{'':<16}{death.get('exception')}: {death.get('error')}")
    show_backtrace(failure)


def _pick(client: Client, ids: tuple[str, ...]) -> list[QuarantinedJob]:
    return pick(ids, client.quarantine, noun=_NOUN, command="quarantine")


@quarantine.command(epilog=EXAMPLES)
@choice_options
def release(client: Client, chosen: Choice) -> None:
    """Put jobs back on their queues; their deaths count from 0."""
    found = _chosen(client, chosen)
    # Those that were set aside first go first.
    act_on_each("released", client.quarantine.release, reversed(found), noun=_NOUN)


@quarantine.command(epilog=EXAMPLES)
@removal_options
def remove(client: Client, chosen: Choice, yes: bool) -> None:
    """Remove jobs that were set aside; they are gone then."""
    found = _chosen(client, chosen)
    confirm(f"Remove {pluralize(len(found), _NOUN)}?", yes=yes)
    act_on_each("removed", client.quarantine.remove, found, noun=_NOUN)


def _chosen(client: Client, chosen: Choice) -> list[QuarantinedJob]:
    chosen.check(f"{_NOUN}s")
    if chosen.is_all:
        return list(client.quarantine.matching(*chosen.which))
    return _pick(client, chosen.ids)
