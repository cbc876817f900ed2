"""What is written oddly for the sake of speed: its markers in the code, and its table.

A comment line `# hot path: <name>` stands at each such place. The table of DESIGN.md,
"Fast", has a row for each name: what is odd, in which modules, and what it gains.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.sources

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "resqued"
DESIGN = ROOT / "DESIGN.md"

MARKER = re.compile(r"\bhot path: ([a-z][a-z-]*)\b")
HEADER = ("name", "what is odd", "where", "gain")

# What a comment says that is about pages, allocators or the ways of one Python.
ABOUT_PAGES = re.compile(
    r"\b(?:pages?|forks?)\b[^.:;]*\bcop(?:y|ies|ied)\b"
    r"|\bcop(?:y|ies|ied)\b[^.:;]*\b(?:pages?|forks?)\b"
    r"|allocator|Python 3\.\d+ ",
    re.IGNORECASE,
)


class Row(NamedTuple):
    """One row of the table."""

    name: str
    odd: str
    where: str
    gain: str

    @property
    def modules(self) -> set[str]:
        return set(re.findall(r"`([a-z_/]+\.py)`", self.where))


class Text(NamedTuple):
    """A block of comment lines, or a docstring."""

    path: str
    line: int
    text: str


@cache
def rows() -> tuple[Row, ...]:
    """Return the rows of the table in DESIGN.md."""
    _, _, section = DESIGN.read_text("utf-8").partition("\n## Fast\n")
    section, _, _ = section.partition("\n## ")
    lines = [line.strip() for line in section.splitlines() if line.startswith("| ")]
    cells = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines]
    assert HEADER in cells, "the table of DESIGN.md, section Fast, has another header"
    first = cells.index(HEADER) + 1
    return tuple(
        Row(name.strip("`"), *rest) for name, *rest in cells[first:] if "--" not in name
    )


@cache
def texts() -> tuple[Text, ...]:
    """Return every block of comments and every docstring of the package."""
    return tuple(
        Text(str(path.relative_to(PACKAGE)), line, " ".join(text.split()))
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in (*comments(path), *docstrings(path))
    )


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each block of lines that end in a comment."""
    source = path.read_text("utf-8")
    block: list[str] = []
    first = last = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1:
            yield first, " ".join(block)
            block, first = [], token.start[0]
        block.append(token.string.lstrip("# "))
        last = token.start[0]
    yield first, " ".join(block)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text


@cache
def markers() -> dict[str, set[str]]:
    """Return the modules that each name is marked in."""
    found: dict[str, set[str]] = {}
    for text in texts():
        for name in MARKER.findall(text.text):
            found.setdefault(name, set()).add(text.path)
    return found


def test_each_marker_has_its_row_and_each_row_its_markers() -> None:
    assert {row.name: row.modules for row in rows()} == markers()


def test_no_row_stands_twice() -> None:
    names = [row.name for row in rows()]
    assert len(names) == len(set(names))


def test_each_row_says_what_is_odd_and_has_a_measured_gain() -> None:
    assert rows()
    assert not [row for row in rows() if not row.odd or not re.search(r"\d", row.gain)]


def test_a_comment_about_pages_has_a_marker() -> None:
    """Without one nobody knows what the oddity is worth, nor when it may go."""
    bare = [
        f"{text.path}:{text.line}: {text.text}"
        for text in texts()
        if ABOUT_PAGES.search(text.text) and not MARKER.search(text.text)
    ]
    assert not bare, "add `hot path: <name>` and a row to DESIGN.md, section Fast"
