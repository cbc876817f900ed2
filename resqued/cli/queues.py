"""`resqued queues`: how long they are, what waits in them, and away with one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import click

from resqued.cli.completion import queue_names
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
from resqued.cli.table import Column, show_json, show_line, show_table
from resqued.cli.text import clip, json_line
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.errors import ResquedError
from resqued.wire.queue_list import QueueList

EXAMPLES = """
\b
Examples:
  resqued queues
  resqued queues critical
  resqued queues peek critical --count 3
  resqued queues peek critical --start 100 --json
  resqued queues clear old_mail --yes
  resqued queues pause mail
  resqued queues resume mail
"""
COLUMNS = (Column("QUEUE", rank=0), Column("WAITING", rank=0, is_number=True))
# For tables in which a queue is paused.
STATE_COLUMNS = (*COLUMNS, Column("STATE", rank=1))
JOB_COLUMNS = (
    Column("POSITION", rank=0, is_number=True),
    Column("CLASS", least=16, keeps_end=True),
    Column("ARGUMENTS", rank=2, least=20),
)
_name = click.argument("name", shell_complete=queue_names)


class QueueGroup(ListingGroup):
    """Takes the name of a queue for `peek` and this name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Put `peek` in front of a name that is no command."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            args = ["peek", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=QueueGroup, epilog=EXAMPLES)
def queues() -> None:
    """List the queues; look into one, pause, resume or clear one.

    Without a command: list. The name of a queue alone: peek.
    """


@queues.command(name="list")
@wide_option
@json_option
@with_client
def list_(client: Client, is_wide: bool, as_json: bool) -> None:
    """List every queue with the number of jobs that wait in it."""
    sizes = client.queue_sizes()
    if as_json:
        show_json(sizes)
    else:
        show_queues(sizes, client.paused_queues(), is_wide=is_wide)


def show_queues(
    sizes: Mapping[str, int], paused: Collection[str], *, is_wide: bool
) -> None:
    """Print the queues with their lengths, and which of them are paused."""
    every = {**sizes, **dict.fromkeys(sorted(set(paused) - sizes.keys()), 0)}
    rows = [
        (name, size, *(["paused" if name in paused else ""] if paused else []))
        for name, size in every.items()
    ]
    columns = STATE_COLUMNS if paused else COLUMNS
    show_table(columns, rows, empty="no queues", is_wide=is_wide)


@queues.command(epilog=EXAMPLES)
@_name
@page_options(count=20)
@wide_option
@json_option
@with_client
def peek(
    client: Client, name: str, start: int, count: int, is_wide: bool, as_json: bool
) -> None:
    """Show the jobs that wait in queue NAME.

    The next one comes first; none is taken.
    """
    found = client.peek(name, start, count)
    if not found:
        _require(client, name)
    if as_json:
        show_json([_jsonable(value) for value in found])
        return
    rows = [(n, *_job(value)) for n, value in enumerate(found, start=start)]
    show_table(JOB_COLUMNS, rows, empty="no jobs there", is_wide=is_wide)


def _job(value: Any) -> tuple[str, str]:
    """Return class and arguments, or what stands there in their place."""
    if isinstance(value, dict) and isinstance(value.get("class"), str):
        args = value.get("args")
        join_names = args if isinstance(args, list) else [] if args is None else [args]
        return value["class"], clip(", ".join(map(json_line, join_names)), 100)
    if isinstance(value, bytes):
        return "(not JSON)", clip(_jsonable(value), 100)
    return "(no job)", clip(json_line(value), 100)


def _jsonable(value: Any) -> Any:
    """Return an element as a value; one that is no JSON, as a text of its bytes."""
    return (
        value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    )


@queues.command(epilog=EXAMPLES)
@_name
@yes_option
@with_writing_client
def clear(client: Client, name: str, yes: bool) -> None:
    """Remove queue NAME with the jobs in it.

    The next job that is put there creates the queue again. Jobs that run already
    are not touched.
    """
    _require(client, name)
    waiting = pluralize(client.size(name), "job")
    confirm(f"Remove queue {clip(name, 100)} with its {waiting}?", yes=yes)
    removed = pluralize(client.remove_queue(name), "job")
    show_line(f"removed queue {name} with {removed}")


@queues.command(epilog=EXAMPLES)
@_name
@with_writing_client
def pause(client: Client, name: str) -> None:
    """Have no worker take a job from queue NAME, on any host.

    Running jobs continue, and jobs can be enqueued. The queue stays paused until
    `resqued queues resume NAME`. `resqued pause` pauses the workers of this host.
    """
    was_new = client.pause_queue(name)
    state = "is paused" if was_new else "was paused already"
    show_line(f"queue {name} {state}; `resqued queues resume {name}` resumes it")
    if name not in client.queues():
        show_line(f"no queue {name} exists yet; `resqued queues` lists those that do")
    others = pluralize(_foreign_workers(client, name), "worker")
    if not others.startswith("0 "):
        show_line(
            f"{others} of other libraries may take its jobs; those of Ruby stop only"
            " with resque-pause"
        )


@queues.command(epilog=EXAMPLES)
@_name
@with_writing_client
def resume(client: Client, name: str) -> None:
    """Have workers take jobs from queue NAME again."""
    was_paused = client.resume_queue(name)
    show_line(f"queue {name} {'is resumed' if was_paused else 'was not paused'}")


def _foreign_workers(client: Client, queue: str) -> int:
    """Return how many workers of other libraries may serve a queue."""
    entries = client.registry.entries(with_records=False)
    return sum(
        not entry.identity and QueueList(tuple(entry.queues)).serves(queue)
        for entry in entries
    )


def _require(client: Client, name: str) -> None:
    """Raise unless there is such a queue, so that a misspelt name is noticed."""
    if not client.size(name) and name not in client.queues():
        raise ResquedError(f"there is no queue {name!r}; `resqued queues` lists them")
