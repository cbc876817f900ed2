"""What --help says: each command in one whole line, each option with a text."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from resqued.cli import COMMANDS, SECTIONS, cli

# The narrowest terminal for which the lists of commands are written, in columns.
COLUMNS = 80


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield each command below a group, with the words that name it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


ALL = dict(commands(cli))
GROUPS = {"": cli, **{n: c for n, c in ALL.items() if isinstance(c, click.Group)}}


def test_the_list_of_commands_has_all_of_them() -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("name", GROUPS)
def test_no_summary_in_a_list_of_commands_is_cut(name: str) -> None:
    group = GROUPS[name]
    context = click.Context(group, terminal_width=COLUMNS)
    formatter = context.make_formatter()
    group.format_commands(context, formatter)
    text = formatter.getvalue()
    assert "..." not in text
    lines = [line for line in text.splitlines() if line.startswith("  ")]
    assert all(line.endswith(".") for line in lines), text
    assert len(lines) == len(group.list_commands(context))


@pytest.mark.parametrize("name", ALL)
def test_every_option_has_a_text(name: str) -> None:
    for option in ALL[name].params:
        if isinstance(option, click.Option):
            text = option.help or ""
            assert text[:1].isupper(), option.name
            assert text.endswith("."), option.name
