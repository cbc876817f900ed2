"""docs/reliability.md held against the tests and the faults that it names."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from bench.chaos.faults import FAULTS

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
TROUBLES = range(1, 55)
# Where nothing shows it, the row says why.
NO_LIMITS = "None here: "


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    text = PAGE.read_text("utf-8")
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"no heading {title}"
    lines = [line for line in found[1].splitlines() if line.startswith("|")]
    return [[c.strip() for c in line.strip("|").split(" | ")] for line in lines[2:]]


def shown() -> list[tuple[str, str]]:
    """Return number and reference of everything that the table refers to."""
    return [
        (number, reference)
        for number, _, _, by in rows("What could go wrong")
        if not by.startswith(NO_LIMITS)
        for reference in re.findall(r"`([^`]+)`", by)
    ]


@cache
def functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_trouble_has_one_row() -> None:
    numbers = [int(number) for number, *_ in rows("What could go wrong")]
    assert numbers == list(TROUBLES)


def test_every_row_names_a_test_or_a_reason() -> None:
    referred = {number for number, _ in shown()}
    for number, wrong, does, by in rows("What could go wrong"):
        assert wrong, number
        assert does, number
        assert number in referred or len(by) > len(NO_LIMITS), number


@pytest.mark.parametrize(("number", "reference"), shown())
def test_what_a_row_names_is_there(number: str, reference: str) -> None:
    if reference.startswith("chaos:"):
        assert reference.removeprefix("chaos:") in {fault.name for fault in FAULTS}
        return
    name, _, function = reference.partition("::")
    file = TESTS / name
    assert file.is_file(), f"row {number}: no {name}"
    if function:
        assert function in functions(file), f"row {number}: {name} has no {function}"


def test_what_was_measured_has_every_fault_and_no_loss() -> None:
    measured = {row[0]: row for row in rows("Measured")}
    assert list(measured) == [fault.name for fault in FAULTS]
    assert {(row[4], row[5]) for row in measured.values()} == {("0", "0")}
