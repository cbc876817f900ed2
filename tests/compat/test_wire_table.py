"""The table of cases: none without a test, and no deviation that is not tested.

The tests are read, not run: `test_c26_…` states case C26, and `@deviates("counts")`
above it says that it does so in the way that docs/compatibility.md tells.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "compatibility.md"

# What Ruby Resque does, of itself; the numbers have gaps.
CORE = {
    "C01": "enqueue adds the queue's name to the set and the job at the tail",
    "C02": "enqueue without arguments writes an empty list",
    "C04": "enqueue_to overrides the queue",
    "C05": "special characters are written raw",
    "C10": "an empty class name is refused",
    "C11": "inline mode writes nothing",
    "C13": "dequeue without arguments removes all of the class",
    "C14": "dequeue of the last job leaves the queue's name",
    "C16": "reserve takes from the head and writes nothing",
    "C17": "reserve on an empty or unknown queue",
    "C19": "a worker registers",
    "C20": "a worker beats",
    "C22": "a worker is done with its job",
    "C23": "a worker counts a failure",
    "C25": "a busy worker is unregistered: its job failed",
    "C26": "a whole run of one successful job",
    "C28": "further keys and their order survive into failed",
    "C29": "a child killed by a signal",
    "C31": "a job that exits is an ordinary failure",
    "C32": "an unknown class",
    "C40": "null on a queue",
    "C41": "what is not JSON on a queue",
    "C43": "a star serves queues in byte order",
    "C44": "excluded queues",
    "C46": "a literal queue that is not registered is served",
    "C47": "pause-all-workers holds every job",
    "C49": "a silent busy worker is pruned",
    "C50": "a heartbeat of 200 s is left alone",
    "C52": "a worker of this host with other queues is left alone",
    "C53": "nothing is pruned while the lock is held",
    "C55": "a failure is retried twice",
    "C56": "a failure that is not there is retried",
    "C58": "a failure that is not there is removed",
    "C59": "the failures of one queue are retried",
    "C61": "all failures are retried, and the retried ones cleared",
    "C62": "the failures are cleared",
    "C67": "numbers are written anew on their way to failed",
    "P1": "an idle worker is told to quit",
    "P2": "TERM during a job, without TERM_CHILD",
    "P3": "TERM during a job, with TERM_CHILD",
    "P4": "TERM during a job that swallows it",
    "P5": "TERM with time for the job to end",
    "P6": "USR1 during a job",
    "P7": "USR2 during a job, and CONT",
    "P8": "a worker was killed, another starts after a minute",
    "P9": "a worker was killed, another starts within a minute",
    "P10": "a Ruby worker starts beside a worker of another program",
    "P11": "heartbeats while a worker lives",
}

ROW = re.compile(r"\| `([\w-]+)` \| (.+) \| (.+) \| (.+) \|")


@cache
def statements() -> list[tuple[set[str], set[str]]]:
    """Return the cases and the deviations of every test."""
    return [
        (cases(node.name), deviations(node))
        for path in sorted(HERE.glob("test_wire_*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def cases(name: str) -> set[str]:
    numbers = re.match(r"test_((?:[cp]\d+_)*)", name)
    assert numbers
    return {number.upper() for number in numbers[1].split("_") if number}


def deviations(node: ast.FunctionDef) -> set[str]:
    return {
        argument.value
        for call in node.decorator_list
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "deviates"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def rows() -> list[tuple[str, ...]]:
    """Return the rows of the table of deviations."""
    lines = DOCUMENT.read_text("utf-8").splitlines()
    return [found.groups() for line in lines if (found := ROW.fullmatch(line))]


@pytest.mark.parametrize("case", CORE)
def test_every_core_case_has_a_test(case: str) -> None:
    assert any(case in numbers for numbers, _ in statements()), CORE[case]


def test_no_test_is_named_after_a_case_that_is_not_listed() -> None:
    assert set().union(*(numbers for numbers, _ in statements())) <= set(CORE)


def test_every_deviation_is_told_and_tested() -> None:
    told = [name for name, *_ in rows()]
    tested = set().union(*(names for _, names in statements()))
    assert len(told) == len(set(told))
    assert set(told) == tested


def test_every_deviation_has_its_reason() -> None:
    # The rows of a table are told from other lines by their first cell.
    lines = DOCUMENT.read_text("utf-8").splitlines()
    assert len(rows()) == sum(line.startswith("| `") for line in lines)
    assert all(cell.endswith((".", ".`")) for row in rows() for cell in row[1:])
