"""The documentation held against the code, so that neither drifts from the other.

Reads the manual pages and the Markdown files as they are written; runs nothing.
"""

from __future__ import annotations

import ast
import re
import shlex
import signal
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

import resqued
from resqued import supervisor
from resqued.cli import COMMANDS, cli
from resqued.config import loader
from resqued.config import variables as environment_variables
from resqued.config.pools import POOL_KEYS
from resqued.config.schema import BY_NAME, FIELDS, Field
from resqued.core.version import VERSION
from resqued.errors import ConfigError, ExitCode
from resqued.execution.signal_orders import SIGNAL_ORDERS
from resqued.log.events import EVENTS
from resqued.system import signals

pytestmark = pytest.mark.sources

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "resqued"
MANUAL = ROOT / "man" / "resqued.1"
DAEMON = ROOT / "man" / "resqued.8"
CONFIGURATION = ROOT / "man" / "resqued.toml.5"
OPERATIONS = ROOT / "docs" / "operations.md"
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

# Told once, for all commands that have them.
COMMON = {
    "-h",
    "--help",
    "-r",
    "--redis",
    "-N",
    "--namespace",
    "-c",
    "--config",
    "--pidfile",
    "--json",
    "--wide",
    "-y",
    "--yes",
}
# Ended by a signal, as shells tell it.
INTERRUPTED = 130

# Names that tests, scripts and alerts may rely on.
STABLE_EVENTS = {
    "master_started",
    "master_ready",
    "master_stopped",
    "worker_spawned",
    "worker_died",
    "worker_reclaimed",
    "job_performed",
    "job_failed",
    "redis_lost",
    "redis_restored",
}

# Only `work` reads these, and only the command line has them.
OTHER_VARIABLES = {
    "RESQUED_CONFIG",
    "RESQUED_DEBUG",
    "QUEUES",
    "QUEUE",
    "COUNT",
    "INTERVAL",
}


def section(text: str, title: str) -> str:
    """Return a section of a manual page."""
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", text, re.M | re.S)
    assert found, f"no section {title}"
    return found[1]


def part(text: str, title: str) -> str:
    """Return what stands below a heading of a Markdown file."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"no heading {title}"
    return found[1]


def flags(text: str) -> set[str]:
    """Return the options in mdoc: `Fl n` is -n, `Fl -workers` is --workers."""
    return {f"-{name}" for name in re.findall(r"\bFl (-?[a-zA-Z][\w-]*)", text)}


def blocks(page: Path, *languages: str) -> list[str]:
    fenced = re.findall(
        r"^ *```(\w*)\n(.*?)^ *```", page.read_text("utf-8"), re.M | re.S
    )
    return [body for language, body in fenced if language in languages]


# Commands and options


@cache
def commands() -> dict[str, click.Command]:
    """Every command by what one types, groups too."""
    return dict(_walk(cli, ()))


def _walk(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from _walk(command, (*path, name))


def options(command: click.Command) -> set[str]:
    context = click.Context(command)
    return {
        name
        for param in command.get_params(context)
        if isinstance(param, click.Option)
        for name in [*param.opts, *param.secondary_opts]
    }


@cache
def described() -> dict[str, str]:
    """Every command of the manual page with what is said of it."""
    text = section(MANUAL.read_text("utf-8"), "COMMANDS")
    head, *items = re.split(r"^\.It Ic ", text, flags=re.M)
    assert not flags(head)
    found = {}
    for item in items:
        line = item.partition("\n")[0]
        words = line.split()
        # The longest command that the line begins with.
        name = next(
            " ".join(words[:n]) for n in (3, 2, 1) if " ".join(words[:n]) in commands()
        )
        found[name] = item
    return found


def test_every_command_stands_in_the_manual() -> None:
    assert described().keys() == commands().keys()


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_option_stands_in_the_manual(name: str) -> None:
    told = flags(described()[name])
    # A group is not called itself: its commands have the options.
    known = options(commands()[name])
    assert known - COMMON <= told
    assert told <= known


def test_options_of_all_commands_stand_in_the_manual() -> None:
    told = flags(section(MANUAL.read_text("utf-8"), "OPTIONS"))
    assert told == COMMON | options(cli)


def test_every_argument_stands_in_the_manual() -> None:
    for name, command in commands().items():
        wanted = [p for p in command.params if isinstance(p, click.Argument)]
        first = described()[name].partition("\n")[0]
        given = first.count("Ar ") - len(re.findall(r"Fl \w\S* Ar ", first))
        choices = isinstance(wanted[0].type, click.Choice) if wanted else False
        assert given == (0 if choices else len(wanted)), name


def command_lines() -> list[tuple[str, str]]:
    """Every call of resqued in the examples of the documentation."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh"):
            lines = block.replace("\\\n", " ").splitlines()
            found += [
                (page.name, line.strip())
                for line in lines
                if line.strip().startswith("resqued ")
            ]
    for manual in (MANUAL, DAEMON):
        examples = section(manual.read_text("utf-8"), "EXAMPLES")
        found += [
            (manual.name, line.removeprefix(".Dl "))
            for line in examples.splitlines()
            if line.removeprefix(".Dl ").startswith("resqued ")
        ]
    return found


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_commands_in_the_documentation_are_right(page: str, line: str) -> None:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if set(word) <= set("|&<>;()"):
            break  # what follows is the shell's
        words.append(word)
    del words[0]
    command: click.Command = cli
    while isinstance(command, click.Group):
        context = click.Context(command)
        name = (
            words.pop(0)
            if words and words[0] in command.list_commands(context)
            else getattr(command, "default", "list")
        )
        found = command.get_command(context, name)
        assert found is not None, f"{page}: {line}"
        command = found
    command.make_context("resqued", words)


# Signals, exit codes, variables, files


def test_every_signal_stands_in_the_manual() -> None:
    text = section(DAEMON.read_text("utf-8"), "SIGNALS")
    masters, _, workers = text.partition("A worker takes")
    # The death of a child is nobody's business but the parent's.
    assert _signals(masters) == set(signals.HANDLED) - {signal.SIGCHLD}
    assert set(SIGNAL_ORDERS) <= _signals(workers.partition("To end a job")[0])


def _signals(text: str) -> set[signal.Signals]:
    return {signal.Signals[name] for name in re.findall(r"Dv (SIG\w+)", text)}


@pytest.mark.parametrize("page", [OPERATIONS, README])
def test_every_signal_that_does_something_stands_in_the_tables(page: Path) -> None:
    title = "Signals" if page == OPERATIONS else "The worker"
    rows = part(page.read_text("utf-8"), title)
    names = {
        name
        for row in re.findall(r"^\| ([A-Z][A-Z0-9, ]*) \|", rows, re.M)
        for name in row.split(", ")
    }
    handled = {s.name[3:] for s in signals.HANDLED} - {"CHLD"}
    assert {s.name[3:] for s in supervisor.EVENTS} <= names <= handled
    if page == OPERATIONS:
        assert names == handled


def test_every_exit_code_stands_in_the_manual() -> None:
    told = re.findall(
        r"^\.It (\d+)", section(MANUAL.read_text("utf-8"), "EXIT STATUS"), re.M
    )
    assert sorted(map(int, told)) == sorted([*ExitCode, INTERRUPTED])


def test_every_exit_code_stands_in_operations() -> None:
    rows = part(OPERATIONS.read_text("utf-8"), "Exit codes")
    told = re.findall(r"^\| (\d+) \|", rows, re.M)
    assert sorted(map(int, told)) == sorted([*ExitCode, INTERRUPTED])


def test_exit_codes_of_the_readme_exist() -> None:
    rows = part(README.read_text("utf-8"), "The worker")
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", rows, re.M)}
    assert told == set(ExitCode)


def variables() -> set[str]:
    names = {
        name for _, _, names, _ in environment_variables._VARIABLES for name in names
    }
    return names | OTHER_VARIABLES


def test_every_variable_stands_in_the_manual() -> None:
    told = [
        name
        for page in (MANUAL, DAEMON)
        for line in re.findall(
            r"^\.It Ev (.*)$", section(page.read_text("utf-8"), "ENVIRONMENT"), re.M
        )
        for name in line.split(" , ")
    ]
    # Not ours: what the system or a user sets for every program.
    others = {"XDG_CONFIG_HOME", "XDG_STATE_HOME", "NO_COLOR", "JOURNAL_STREAM"}
    # In one of both pages, and not in the other.
    assert sorted(told) == sorted(variables() | others)


def test_every_variable_stands_in_operations() -> None:
    table = part(OPERATIONS.read_text("utf-8"), "Environment")
    rows = "\n".join(re.findall(r"^\| (`.*?) \|", table, re.M))
    assert set(re.findall(r"`([A-Z_]+)`", rows)) == variables()


def test_the_usual_file_is_named() -> None:
    for page in (MANUAL, CONFIGURATION, OPERATIONS, README):
        assert str(loader.DEFAULT_PATH) in page.read_text("utf-8"), page.name


# Configuration


@cache
def keys() -> dict[tuple[str, str], str]:
    """Every key of the manual page, by its section, with what is said of it."""
    found = {}
    text = section(CONFIGURATION.read_text("utf-8"), "DESCRIPTION")
    for title, body in re.findall(
        r"^\.Ss \[+(\w+)\]+\\&\n(.*?)(?=^\.Ss |\Z)", text, re.M | re.S
    ):
        for item in re.split(r"^\.It Ic ", body, flags=re.M)[1:]:
            found[title, item.split()[0]] = item.replace(r"\(dq", '"')
    return found


def default_of(told: str) -> str:
    found = re.search(r"Default:\n\.Li (.*)", told)
    assert found, f"no default: {told}"
    return found[1]


def test_every_key_stands_in_the_manual() -> None:
    pool = {("pool", key) for key in POOL_KEYS}
    assert keys().keys() == set(BY_NAME) | pool


@pytest.mark.parametrize("field", FIELDS, ids=lambda f: f"{f.section}.{f.key}")
def test_defaults_in_the_manual_are_right(field: Field) -> None:
    told = tomllib.loads(f"value = {default_of(keys()[field.section, field.key])}")
    assert field.read(told["value"]) == field.default


def test_the_default_of_pools_is_right() -> None:
    built = loader.build({"pool": [{"queues": "a"}]})
    assert default_of(keys()["pool", "workers"]) == str(built.workers)
    with pytest.raises(ConfigError):
        loader.build({"pool": [{"workers": 1}]})


def toml_examples() -> list[tuple[str, str]]:
    found = [(page.name, block) for page in PAGES for block in blocks(page, "toml")]
    manual = section(CONFIGURATION.read_text("utf-8"), "EXAMPLES")
    found.append((CONFIGURATION.name, re.sub(r"^\..*\n", "", manual, flags=re.M)))
    found.append(("config example", loader.example()))
    found += [(p.name, p.read_text("utf-8")) for p in ROOT.glob("examples/*.toml")]
    return found


@pytest.mark.parametrize(("page", "text"), toml_examples())
def test_examples_of_configuration_are_right(page: str, text: str) -> None:
    built = loader.build(tomllib.loads(text))
    assert built.pools, page


# Log events

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


@cache
def events() -> dict[str, set[str]]:
    """Every event that the code logs, with its levels."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and _is_logging(node.func)):
                continue
            name = node.args[0]
            assert isinstance(name, ast.Constant), f"{path.name}:{node.lineno}"
            assert isinstance(node.func, ast.Attribute)
            level = node.func.attr.replace("exception", "error")
            found.setdefault(name.value, set()).add(level)
    return found


def _is_logging(function: ast.expr) -> bool:
    """`self._log.info` or `logger.get(…).info`."""
    if not (isinstance(function, ast.Attribute) and function.attr in LEVELS):
        return False
    owner = ast.unparse(function.value)
    return owner.endswith(("_log", ".log")) or owner.startswith(
        ("logger.get(", "_logger_to(")
    )


def test_every_event_stands_in_operations() -> None:
    table = part(OPERATIONS.read_text("utf-8"), "Log events")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]+) \| (.+) \|$", table, re.M)
    assert {name: {level} for name, level, _, _ in rows} == events()
    assert len(rows) == len(events()), "an event stands there twice"


def test_the_configuration_knows_every_event() -> None:
    assert events().keys() | {"output"} == EVENTS


def test_stable_events_stand_in_the_manual() -> None:
    text = section(DAEMON.read_text("utf-8"), "LOG")
    assert set(re.findall(r"^\.It Li (\w+)", text, re.M)) == STABLE_EVENTS
    assert events().keys() >= STABLE_EVENTS


# Redis


def test_the_rule_for_a_user_allows_what_the_store_does_and_no_more() -> None:
    rules = [b for b in blocks(OPERATIONS, "sh") if "ACL SETUSER" in b]
    assert len(rules) == 1
    allowed = set(re.findall(r"\+([a-z|]+)", rules[0]))
    assert allowed == _used_by_scripts() | _used_by_the_store()


def _used_by_scripts() -> set[str]:
    sources = [p.read_text("utf-8") for p in (PACKAGE / "store" / "lua").rglob("*.lua")]
    found = {
        name.lower()
        for source in sources
        for name in re.findall(r"redis\.p?call\(\s*'(\w+)'", source)
    }
    calls = sum(len(re.findall(r"redis\.p?call\(", source)) for source in sources)
    named = sum(len(re.findall(r"redis\.p?call\(\s*'", source)) for source in sources)
    assert calls == named, "a command whose name is not written out"
    return found


def _used_by_the_store() -> set[str]:
    """Commands are words in capitals: the first of a call or of a tuple."""
    found = set()
    for path in (PACKAGE / "store").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            words: list[ast.expr] = []
            if isinstance(node, ast.Tuple):
                words = node.elts
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                sends = {"call", "_send", "send_command"}
                words = node.args if node.func.attr in sends else []
            texts = [w.value for w in words[:2] if isinstance(w, ast.Constant)]
            if (
                texts
                and isinstance(texts[0], str)
                and re.fullmatch("[A-Z]{3,}", texts[0])
            ):
                if texts[0] == "SENTINEL":
                    continue  # a sentinel has users of its own
                has_two = texts[0] in {"CLIENT", "CLUSTER", "MEMORY", "SCRIPT"}
                found.add("|".join(map(str, texts if has_two else texts[:1])).lower())
    return found


# Markdown


def links() -> list[tuple[Path, str]]:
    found = []
    for page in PAGES:
        text = re.sub(
            r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.M | re.S
        )
        text = re.sub(r"`[^`\n]*`", "", text)
        found += [(page, link) for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [(page, link) for page, link in found if not re.match(r"\w+:", link)]


@pytest.mark.parametrize(
    ("page", "link"), links(), ids=lambda v: v.name if isinstance(v, Path) else v
)
def test_links_lead_somewhere(page: Path, link: str) -> None:
    name, _, anchor = link.partition("#")
    target = page if not name else (page.parent / name).resolve()
    assert target.exists()
    assert target.is_relative_to(ROOT)
    if anchor:
        assert anchor in {slug(title) for title in headings(target)}


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)


def slug(title: str) -> str:
    """Return the anchor that a heading gets where Markdown is shown."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def python_examples() -> list[tuple[str, str]]:
    return [(p.name, block) for p in PAGES for block in blocks(p, "python")]


@pytest.mark.parametrize(("page", "text"), python_examples())
def test_examples_in_python_compile(page: str, text: str) -> None:
    lines = text.splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    compile("\n".join(line[margin:] for line in lines), page, "exec")


def test_everything_public_stands_in_the_readme() -> None:
    text = part(README.read_text("utf-8"), "The library")
    words = set(
        re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`|```.*?```", text, re.S)))
    )
    assert set(resqued.__all__) <= words


def test_functions_in_the_readme_exist() -> None:
    rows = re.findall(
        r"^\| (`.+?) \|", part(README.read_text("utf-8"), "The library"), re.M
    )
    names = {name for row in rows for name in re.findall(r"`(\w+)\(", row)}
    assert names <= set(resqued.__all__)


def test_the_changelog_has_this_version() -> None:
    assert VERSION in (ROOT / "CHANGELOG.md").read_text("utf-8")


# Where a newcomer finds things


def questions() -> list[tuple[str, str, bool]]:
    """Return each question of CONTRIBUTING.md, its path, and if that is to come."""
    table = part(CONTRIBUTING.read_text("utf-8"), "Where do I find …")
    rows = re.findall(r"^\| (.+\?) \| `([^`]+)`( \(to come\))? \|$", table, re.M)
    assert len(rows) == len(re.findall(r"^\| ", table, re.M)) - 1, "a row is malformed"
    return [(question, path, bool(mark)) for question, path, mark in rows]


def test_the_contents_of_the_design_are_its_sections() -> None:
    text = (ROOT / "DESIGN.md").read_text("utf-8")
    listed = re.findall(r"^- \[(.+?)\]\(#", text, re.M)
    assert listed == re.findall(r"^## (.+)$", text, re.M)


def test_every_package_stands_in_the_security_policy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(one for each in extras.values() for one in each),
    ]
    text = part((ROOT / "SECURITY.md").read_text("utf-8"), "What is installed")
    names = {re.split(r"[^\w-]", one)[0] for one in wanted} | {f"`{e}`" for e in extras}
    assert sorted(name for name in names if name not in text) == []


def test_every_command_stands_in_the_readme() -> None:
    section = part(README.read_text("utf-8"), "The worker")
    named = set(re.findall(r"`(?:resqued )?([a-z]+)", section))
    assert sorted(set(COMMANDS) - named) == []


def rooms_to_come() -> set[str]:
    """Return the rooms in the paragraph of DESIGN.md about rooms to come."""
    text = part((ROOT / "DESIGN.md").read_text("utf-8"), "Files")
    found = re.search(r"[Rr]ooms to come.*?\n\n", text, re.S)
    assert found, "no paragraph about rooms to come"
    return set(re.findall(r"`(\w+/)`", found[0]))


def test_a_newcomer_finds_thirty_answers() -> None:
    asked = [question for question, _, _ in questions()]
    assert len(asked) >= 30
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize(("question", "path", "is_to_come"), questions())
def test_the_path_that_answers_a_question_exists(
    question: str, path: str, is_to_come: bool
) -> None:
    target = ROOT / path
    if is_to_come:
        assert not target.exists(), f"{path} exists: remove the mark"
        assert path.removeprefix("resqued/") in rooms_to_come(), question
    else:
        assert target.exists(), question
        assert target.is_dir() == path.endswith("/"), path
