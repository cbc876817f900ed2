"""The manual pages by themselves: that they are well made, and name what there is.

tests/unit/test_docs.py holds commands, options, signals, exit codes, variables and
keys against the program.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

import click
import pytest

from resqued.cli import cli
from resqued.config import loader
from resqued.config.pools import POOL_KEYS
from resqued.config.schema import BY_NAME
from resqued.control import sockets
from resqued.scheduler.schedule_reader import KEYS

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "man").glob("resqued*.[0-9]"))

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def section(page: Path, title: str) -> str:
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", text_of(page), re.M | re.S)
    return found[1] if found else ""


def commands() -> dict[str, click.Command]:
    """Return every command by what one types, without the groups in front."""
    found: dict[str, click.Command] = {}
    groups: list[tuple[str, click.Group]] = [("", cli)]
    for prefix, group in groups:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found[f"{prefix}{name}"] = command
            if isinstance(command, click.Group):
                groups.append((f"{prefix}{name} ", command))
    return found


@pages
def test_a_page_says_its_own_name_and_section(page: Path) -> None:
    name, _, number = page.name.rpartition(".")
    assert f"\n.Dt {name.upper()} {number}\n" in text_of(page)
    assert f"\n.Nm {name}\n" in text_of(page)


@pages
def test_each_page_refers_to_the_others(page: Path) -> None:
    referred = set(re.findall(r"^\.Xr (\S+) (\d)", section(page, "SEE ALSO"), re.M))
    ours = {tuple(other.name.rsplit(".", 1)) for other in PAGES if other != page}
    assert ours <= referred


@pages
def test_pages_that_are_referred_to_exist(page: Path) -> None:
    for name, number in re.findall(r"^\.Xr (\S+) (\d)", text_of(page), re.M):
        if name.startswith("resqued"):
            assert (ROOT / "man" / f"{name}.{number}").exists()


def test_nothing_is_told_in_two_pages() -> None:
    seen: dict[str, str] = {}
    for page in PAGES:
        for line in re.split(r"\n(?=\.)", text_of(page)):
            words = " ".join(line.split())
            # Short ones are markup, or what any page may say.
            if len(words) > 70:
                assert seen.setdefault(words, page.name) == page.name, words


@pages
def test_what_stands_there_as_a_command_or_key_is_one(page: Path) -> None:
    keys = {key for _, key in BY_NAME} | {*POOL_KEYS, *KEYS}
    for line in re.findall(r"\bIc (.+)$", text_of(page), re.M):
        words = re.split(r" (?:Ns|Op|Oo|Ar|Cm|Pq|Ev|[,.;:)])(?: |$)", line)[0]
        assert words in commands() or words in keys, line


@pages
def test_every_signal_that_is_named_exists(page: Path) -> None:
    for name in re.findall(r"\bDv (SIG\w+)", text_of(page)):
        assert name in signal.Signals.__members__


def test_every_choice_of_an_option_stands_in_the_manual() -> None:
    text = section(ROOT / "man" / "resqued.1", "COMMANDS")
    for name, command in commands().items():
        start = re.search(rf"^\.It Ic {name}(?= |$)", text, re.M)
        assert start, name
        told = re.split(r"^\.It Ic ", text[start.end() :], maxsplit=1, flags=re.M)[0]
        for param in command.params:
            # `start` and `restart` refer to `work` for those that they share.
            is_own = f".It Fl {param.opts[-1][1:]} " in told
            if isinstance(param.type, click.Choice) and (is_own or name == "work"):
                assert f"Cm {' | '.join(param.type.choices)}" in told, name


def test_the_files_are_where_the_program_has_them() -> None:
    assert f".It Pa {loader.DEFAULT_PATH}\n" in section(
        ROOT / "man" / "resqued.1", "FILES"
    )
    assert f".It Pa {sockets.SYSTEM}/ Ns Ar pid Ns Pa {sockets.SUFFIX}\n" in section(
        ROOT / "man" / "resqued.8", "FILES"
    )
