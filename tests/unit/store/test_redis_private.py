"""No module but store/redis_internals.py touches the private parts of redis-py.

Read from the source of redis-py and of this project. How the installed redis-py
behaves is for tests/integration/test_redis_internals.py.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import redis

pytestmark = pytest.mark.sources

ROOT = Path(__file__).parents[3]
FENCE = ROOT / "resqued" / "store" / "redis_internals.py"
# It names the parts that it holds against the installed redis-py.
ITS_TEST = ROOT / "tests" / "integration" / "test_redis_internals.py"
FOLDERS = ("resqued", "tests", "bench", "examples")

# Without an underscore, but as undocumented.
UNDOCUMENTED = {"make_connection", "set_invalidation_push_handler"}

# What objects that are none of redis-py have as well.
NOT_OF_REDIS = {
    "_fields": "named tuples",
    "_running": "the worker, in tests/support/faults.py",
}


@cache
def private_to_redis() -> frozenset[str]:
    """Return the attributes and methods of redis-py that begin with an underscore."""
    found = set()
    for path in Path(redis.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.FunctionDef):
                found.add(node.name)
    return frozenset(name for name in found if is_private(name))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def uses(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each use of a private part of redis-py: its line, and what it says."""
    names = (private_to_redis() | UNDOCUMENTED) - set(NOT_OF_REDIS)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=attr) if attr in names:
                yield node.lineno, ast.unparse(node)
            case ast.ImportFrom(module=str(module)) if module.startswith("redis"):
                words = [*module.split("."), *(alias.name for alias in node.names)]
                if any(map(is_private, words)):
                    yield node.lineno, ast.unparse(node)
            case ast.keyword(arg="push_request"):
                yield node.value.lineno, "push_request"


def test_the_private_parts_of_redis_py_are_used_in_one_module_only() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path not in (FENCE, ITS_TEST) and "node_modules" not in path.parts
        for line, text in uses(ast.parse(path.read_text("utf-8")))
    ]
    assert not found, f"make a function of it in {FENCE.relative_to(ROOT)}: {found}"


def test_that_module_is_found_to_use_them() -> None:
    """Or the search would find nothing anywhere."""
    found = {text for _, text in uses(ast.parse(FENCE.read_text("utf-8")))}
    assert {"connection._sock", "connection._parser", "push_request"} <= found


def test_redis_py_has_an_upper_bound() -> None:
    """What is private may change with any major version."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert '"redis[hiredis]>=8.0,<9"' in text
