"""Which elements a command is about: IDs, or --all with filters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import click

from resqued.cli.completion import queue_names
from resqued.core.plural import pluralize
from resqued.errors import PayloadError, ResquedError

# An id may be shortened to so many digits.
_FEWEST = 4
# Problems in one message.
_SHOWN = 5


class _Element(Protocol):
    """What a command lists and acts on."""

    @property
    def id(self) -> str: ...


E = TypeVar("E", bound=_Element)

ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1)
all_option = click.option(
    "--all", "is_all", is_flag=True, help="All, or all that match."
)
class_option = click.option(
    "--class", "class_name", metavar="NAME", help="Only of this class."
)
queue_option = click.option(
    "--queue", metavar="NAME", help="Only of this queue.", shell_complete=queue_names
)


def check_choice(
    ids: tuple[str, ...],
    *,
    is_all: bool,
    is_filtered: bool,
    noun: str,
    filters: str = "--class and --queue",
) -> None:
    """Raise UsageError unless IDs are given, or --all, and filters with --all alone.

    `noun` names the elements in the plural, and `filters` the options that filter them.
    """
    if ids and is_all:
        raise click.UsageError("give IDs or --all, not both")
    if not is_all and is_filtered:
        raise click.UsageError(f"add --all: {filters} choose among all")
    if not ids and not is_all:
        raise click.UsageError(f"name {noun} by ID, or add --all")


def pick(
    ids: Iterable[str], elements: Iterable[E], *, noun: str, command: str
) -> list[E]:
    """Return the elements that ids mean; raise ResquedError if one means none.

    `noun` names an element, and `resqued <command>` lists them.
    """
    wanted = {one.strip().lower(): one for one in ids}
    for prefix, shown in wanted.items():
        if len(prefix) < _FEWEST:
            raise ResquedError(f"id {shown!r} is too short: give {_FEWEST} digits")
    found: dict[str, dict[str, E]] = {prefix: {} for prefix in wanted}
    for element in elements:
        for prefix in wanted:
            if element.id.startswith(prefix):
                found[prefix][element.id] = element
    for prefix, meant in found.items():
        if not meant:
            raise ResquedError(
                f"there is no {noun} {prefix}; `resqued {command}` lists them"
            )
        if len(meant) > 1:
            some = ", ".join(sorted(meant)[:_SHOWN])
            raise ResquedError(f"id {prefix} means {len(meant)} {noun}s: {some}")
    return list(
        {id_: e for meant in found.values() for id_, e in meant.items()}.values()
    )


def act_on_each(
    done: str, action: Callable[[E], bool], elements: Iterable[E], *, noun: str
) -> None:
    """Do something to each element, and say to how many it was done.

    One that is gone meanwhile, or that holds no job, makes the command fail, after the
    others: raises ResquedError.
    """
    count = 0
    problems: list[str] = []
    for element in elements:
        try:
            is_done = action(element)
        except PayloadError as error:
            problems.append(str(error))
            continue
        count += is_done
        if not is_done:
            problems.append(f"{noun} {element.id} is not there any more")
    click.echo(f"{done} {pluralize(count, noun)}")
    if problems:
        raise ResquedError("; ".join(problems[:_SHOWN]))
