"""`resqued queues`: how long they are, what waits in them, and away with one."""

from __future__ import annotations

from typing import Any

import click

from resqued.cli.completion import queue_names
from resqued.cli.options import (
    ListingGroup,
    confirm,
    json_option,
    page_options,
    with_client,
    with_writing_client,
    yes_option,
)
from resqued.cli.table import Column, show_json, show_line, show_table
from resqued.cli.text import clip, json_line
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.errors import ResquedError

EXAMPLES = """
\b
Examples:
  resqued queues
  resqued queues peek critical --count 3
  resqued queues peek critical --start 100 --json
  resqued queues clear old_mail --yes
"""
COLUMNS = (Column("QUEUE"), Column("JOBS", is_number=True))
JOB_COLUMNS = (
    Column("POSITION", is_number=True),
    Column("CLASS"),
    Column("ARGUMENTS", may_be_cut=True),
)
_name = click.argument("name", shell_complete=queue_names)


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def queues() -> None:
    """List the queues, look into one, or clear one.

    Without a command: list.
    """


@queues.command(name="list")
@json_option
@with_client
def list_(client: Client, as_json: bool) -> None:
    """List every queue with the number of jobs that wait in it."""
    sizes = client.queue_sizes()
    if as_json:
        show_json(sizes)
    else:
        show_table(COLUMNS, list(sizes.items()), empty="no queues")


@queues.command(epilog=EXAMPLES)
@_name
@page_options(count=20)
@json_option
@with_client
def peek(client: Client, name: str, start: int, count: int, as_json: bool) -> None:
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
    show_table(JOB_COLUMNS, rows, empty="no jobs there")


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


def _require(client: Client, name: str) -> None:
    """Raise unless there is such a queue, so that a slip of the keys is noticed."""
    if not client.size(name) and name not in client.queues():
        raise ResquedError(f"there is no queue {name!r}; `resqued queues` lists them")
