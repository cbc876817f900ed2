"""What `resqued delayed`, `retries` and `quarantine` share.

Their options, the choice of jobs, and how these are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

import click
from msgspec import Struct

from resqued.cli.choice import (
    all_option,
    check_choice,
    class_option,
    ids_argument,
    queue_option,
)
from resqued.cli.options import (
    json_option,
    page_options,
    wide_option,
    with_client,
    with_writing_client,
    yes_option,
)
from resqued.cli.table import Column, room_of, show_json, show_line, show_table
from resqued.cli.text import json_line
from resqued.client import Client

Command = Callable[..., Any]


class _Job(Protocol):
    """A job with a class and a queue."""

    @property
    def class_name(self) -> str: ...
    @property
    def queue(self) -> str: ...


class _Listed(Protocol):
    """What a list shows."""

    def as_dict(self) -> dict[str, Any]: ...


J = TypeVar("J", bound=_Job)
L = TypeVar("L", bound=_Listed)


class JobFilter(NamedTuple):
    """Which jobs: those of a class and of a queue; None means any."""

    class_name: str | None
    queue: str | None

    @property
    def is_any(self) -> bool:
        """Whether it accepts every job."""
        return self.class_name is None and self.queue is None

    def accepts(self, job: _Job) -> bool:
        """Return whether a job is one of them."""
        is_of_class = self.class_name in (None, job.class_name)
        return is_of_class and self.queue in (None, job.queue)


class Listing(Struct, frozen=True):
    """What the options of a list say."""

    start: int
    count: int
    which: JobFilter
    is_wide: bool
    as_json: bool

    def page(self, elements: Iterable[L]) -> list[L]:
        """Return the elements of the page."""
        return list(islice(elements, self.start, self.start + self.count))

    def show(
        self,
        client: Client,
        found: Sequence[L],
        columns: Sequence[Column],
        row_of: Callable[[L, float | None], tuple[object, ...]],
        *,
        empty: str,
    ) -> None:
        """Print a page, as JSON or as a table; `empty` is the text without elements.

        `row_of` gets the server's time if ages are wanted, or else None.
        """
        if self.as_json:
            show_json([element.as_dict() for element in found])
            return
        now = client.registry.link.time()
        has_ages = room_of(is_wide=self.is_wide) is not None
        rows = [row_of(element, now if has_ages else None) for element in found]
        show_table(columns, rows, empty=empty, is_wide=self.is_wide)


class Choice(NamedTuple):
    """Which jobs to act on: some by ID, or all that a filter accepts."""

    ids: tuple[str, ...]
    is_all: bool
    which: JobFilter

    def check(self, noun: str) -> None:
        """Raise UsageError for a choice that is none; `noun` is in the plural."""
        is_filtered = not self.which.is_any
        check_choice(self.ids, is_all=self.is_all, is_filtered=is_filtered, noun=noun)


def _add(function: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        function = option(function)
    return function


def list_options(function: Command) -> Command:
    """Add the options of a list; pass the client and a Listing."""

    @wraps(function)
    def command(
        client: Client, class_name: str | None, queue: str | None, **values: Any
    ) -> Any:
        return function(client, Listing(which=JobFilter(class_name, queue), **values))

    options = (page_options(count=20), class_option, queue_option, wide_option)
    return _add(command, *options, json_option, with_client)


def show_options(function: Command) -> Command:
    """Add an ID and --json; pass the client, the ID and whether to print JSON."""
    argument = click.argument("job_id", metavar="ID")
    return _add(function, argument, json_option, with_client)


def choice_options(function: Command) -> Command:
    """Add IDs, --all and filters, for a command that writes; pass client and Choice."""
    return _choice(function)


def removal_options(function: Command) -> Command:
    """Do as choice_options, and add --yes."""
    return _choice(function, yes_option)


def _choice(function: Command, *more: Callable[[Command], Command]) -> Command:
    @wraps(function)
    def command(
        client: Client,
        ids: tuple[str, ...],
        is_all: bool,
        class_name: str | None,
        queue: str | None,
        **values: Any,
    ) -> Any:
        choice = Choice(ids, is_all, JobFilter(class_name, queue))
        return function(client, choice, **values)

    options = (ids_argument, all_option, class_option, queue_option)
    return _add(command, *options, *more, with_writing_client)


def show_fields(values: Mapping[str, Any], width: int) -> None:
    """Print each field on a line of its own; names take so many columns."""
    for name, value in values.items():
        text = value if isinstance(value, str) else json_line(value)
        show_line(f"{name:<{width}}{text}")


def show_backtrace(failure: Mapping[str, Any]) -> None:
    """Print the lines of a failure's backtrace, if it has any."""
    for line in failure.get("backtrace") or ():
        show_line(f"  {line}")
