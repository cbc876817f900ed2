"""What README.md, or another page, tells a reader to type, as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Block(NamedTuple):
    """Something to type, or to write into a file."""

    language: str
    text: str


def blocks(heading: str, page: str = "README.md") -> list[Block]:
    """Return the blocks below a heading of a page, in order."""
    text = (ROOT / page).read_text("utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)^## ", text, re.M | re.S)
    assert found, heading
    pairs = re.findall(r"^```(\w+)\n(.*?)^```", found[1], re.M | re.S)
    return [Block(*pair) for pair in pairs]


def commands(block: Block) -> list[str]:
    """Return the commands of a block, a line each, without remarks."""
    lines = (re.sub(r"\s{2,}#.*", "", line) for line in block.text.splitlines())
    return [line for line in lines if line.strip()]


def words_of_commands(
    heading: str, page: str, names: dict[str, str]
) -> list[list[str]]:
    """Return the words after `resqued` of each command below a heading of a page.

    `names` are the names of servers there, and what this machine has instead.
    """
    found = []
    for block in blocks(heading, page):
        for line in commands(block) if block.language == "sh" else ():
            here = line
            for name, instead in names.items():
                here = here.replace(name, instead)
            program, *words = shlex.split(here)
            assert program == "resqued", line
            found.append(words)
    return found
