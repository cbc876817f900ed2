"""`resqued quarantine`: the jobs that were set aside: look, release, remove.

A job is named by a short id made of the content of its entry.
"""

from __future__ import annotations

from itertools import islice

import click

from resqued.cli.choice import (
    act_on_each,
    all_option,
    check_choice,
    class_option,
    ids_argument,
    pick,
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
    """List jobs that kill their processes and were set aside; release or remove them.

    Without a command: list. An ID may be shortened as long as it is the only one
    that begins so.
    """


@quarantine.command(name="list", epilog=EXAMPLES)
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
    """List the jobs that were set aside, the newest first."""
    if class_name is None and queue is None:
        found = client.quarantine.page(start, count)
    else:
        matching = client.quarantine.matching(class_name, queue)
        found = list(islice(matching, start, start + count))
    if as_json:
        show_json([job.as_dict() for job in found])
        return
    now = client.registry.link.time()
    has_ages = room_of(is_wide=is_wide) is not None
    rows = [_row(job, now if has_ages else None) for job in found]
    show_table(COLUMNS, rows, empty="no quarantined jobs", is_wide=is_wide)


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
@click.argument("job_id", metavar="ID")
@json_option
@with_client
def show(client: Client, job_id: str, as_json: bool) -> None:
    """Show all of a job that was set aside: payload, each death, and last failure."""
    (job,) = _pick(client, (job_id,))
    values = job.as_dict()
    if as_json:
        show_json(values)
        return
    failure = values.pop("failure", {})
    deaths = values.pop("deaths", ())
    for name, value in values.items():
        text = value if isinstance(value, str) else json_line(value)
        show_line(f"{name:<16}{text}")
    for death in deaths:
        show_line(f"{'death':<16}{death.get('died_at')} {death.get('worker')}")
        show_line(f"{'':<16}{death.get('exception')}: {death.get('error')}")
    for line in failure.get("backtrace") or ():
        show_line(f"  {line}")


def _pick(client: Client, ids: tuple[str, ...]) -> list[QuarantinedJob]:
    return pick(ids, client.quarantine, noun=_NOUN, command="quarantine")


@quarantine.command(epilog=EXAMPLES)
@ids_argument
@all_option
@class_option
@queue_option
@with_writing_client
def release(
    client: Client,
    ids: tuple[str, ...],
    is_all: bool,
    class_name: str | None,
    queue: str | None,
) -> None:
    """Put jobs back on their queues, and count their deaths from 0 again."""
    found = _chosen(client, ids, class_name, queue, is_all=is_all)
    # Those that were set aside first go first.
    act_on_each("released", client.quarantine.release, reversed(found), noun=_NOUN)


@quarantine.command(epilog=EXAMPLES)
@ids_argument
@all_option
@class_option
@queue_option
@yes_option
@with_writing_client
def remove(
    client: Client,
    ids: tuple[str, ...],
    is_all: bool,
    class_name: str | None,
    queue: str | None,
    yes: bool,
) -> None:
    """Remove jobs that were set aside; they are gone then."""
    found = _chosen(client, ids, class_name, queue, is_all=is_all)
    confirm(f"Remove {pluralize(len(found), _NOUN)}?", yes=yes)
    act_on_each("removed", client.quarantine.remove, found, noun=_NOUN)


def _chosen(
    client: Client,
    ids: tuple[str, ...],
    class_name: str | None,
    queue: str | None,
    *,
    is_all: bool,
) -> list[QuarantinedJob]:
    is_filtered = class_name is not None or queue is not None
    check_choice(ids, is_all=is_all, is_filtered=is_filtered, noun=f"{_NOUN}s")
    if is_all:
        return list(client.quarantine.matching(class_name, queue))
    return _pick(client, ids)
