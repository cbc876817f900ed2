"""What README.md tells a reader to type, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Block(NamedTuple):
    """Something to type, or to write into a file."""

    language: str
    text: str


def blocks(heading: str) -> list[Block]:
    """Return the blocks below a heading, in order."""
    text = (ROOT / "README.md").read_text("utf-8")
    found = re.search(rf"^## {heading}\n(.*?)^## ", text, re.M | re.S)
    assert found, heading
    pairs = re.findall(r"^```(\w+)\n(.*?)^```", found[1], re.M | re.S)
    return [Block(*pair) for pair in pairs]


def commands(block: Block) -> list[str]:
    """Return the commands of a block, a line each, without remarks."""
    lines = (re.sub(r"\s{2,}#.*", "", line) for line in block.text.splitlines())
    return [line for line in lines if line.strip()]
