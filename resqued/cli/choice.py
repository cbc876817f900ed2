"""Which elements a command is about: IDs, or --all with filters."""

from __future__ import annotations

import click

from resqued.cli.completion import queue_names

ids_argument = click.argument("ids", metavar="[ID]...", nargs=-1)
all_option = click.option(
    "--all", "is_all", is_flag=True, help="All, or all that match."
)
class_option = click.option("--class", "class_name", help="Only of this class.")
queue_option = click.option(
    "--queue", help="Only of this queue.", shell_complete=queue_names
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
        raise click.UsageError(f"add --all: {filters} say of what")
    if not ids and not is_all:
        raise click.UsageError(f"name {noun} by ID, or add --all")
