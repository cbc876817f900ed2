"""docs/wire-format.md held against the code, in both directions.

The tables and examples of the document are the data: keys, fields and bytes are made
by the code and compared with what stands there, and read back by it.
"""

from __future__ import annotations

import ast
import json
import re
import time
import tokenize
from collections.abc import Callable, Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

import resqued
from resqued.core.exit_status import Exit
from resqued.core.limits import Limits
from resqued.core.version import VERSION
from resqued.errors import PayloadError
from resqued.store import pruning
from resqued.store.job_queues import means_pause
from resqued.store.registry import PRUNE_LOCK_SECONDS
from resqued.wire import (
    payload,
    queue_list,
    timestamps,
    titles,
    worker_entry,
    worker_record,
)
from resqued.wire.keys import Keys
from resqued.wire.outcome import judge
from resqued.wire.payload import FailureInfo
from resqued.wire.worker_entry import Identity, Liveness, WorkerEntry

pytestmark = pytest.mark.sources

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
PACKAGE = Path(resqued.__file__).parent
DOCUMENT = ROOT / "docs" / "wire-format.md"
DEVIATIONS = ROOT / "docs" / "compatibility.md"

# The time of the examples, and its zones.
THEN = 1795433916
ZONES = {"UTC": "UTC0", "America/New_York": "EST5EDT,M3.2.0,M11.1.0"}

Rows = list[list[str]]


# The document


@cache
def sections() -> dict[str, str]:
    """Return the text below each heading, by the heading's number."""
    parts = re.split(
        r"^##+ (\d+(?:\.\d+)?)\.? .+$", DOCUMENT.read_text("utf-8"), flags=re.M
    )
    numbers = parts[1::2]
    assert len(numbers) == len(set(numbers)), "two sections have one number"
    return dict(zip(numbers, parts[2::2], strict=True))


def tables(text: str) -> list[Rows]:
    """Return the tables of a text, each with its head and without the line below."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.M)
    split = [[line.strip("|").split("|") for line in t.splitlines()] for t in found]
    rows = [[[cell.strip() for cell in row] for row in table] for table in split]
    assert all(len({len(row) for row in table}) == 1 for table in rows)
    return [[head, *body] for head, _, *body in rows]


def table(number: str, *head: str) -> Rows:
    """Return the rows of the one table of a section whose head begins so."""
    fits = [t for t in tables(sections()[number]) if tuple(t[0][: len(head)]) == head]
    assert len(fits) == 1, f"section {number} has {len(fits)} tables {head}"
    return fits[0][1:]


def code(cell: str) -> str:
    """Return what a cell holds, which is nothing but code."""
    found = re.fullmatch(r"`([^`]+)`", cell)
    assert found, f"more than code, or none: {cell}"
    return found[1]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def value(cell: str) -> Any:
    """Return the value of a cell that holds Python."""
    return ast.literal_eval(code(cell))


def examples(number: str) -> list[str]:
    """Return the blocks of JSON in a section."""
    return re.findall(r"^```json\n(.*)\n```$", sections()[number], re.M)


def fields(number: str, of: str) -> list[str]:
    return [code(row[0]) for row in table(number, f"Field of {of}")]


def test_sections_are_numbered_without_gaps() -> None:
    chapter, section = 0, 0
    for number in sections():
        if "." in number:
            section += 1
        else:
            chapter, section = chapter + 1, 0
        assert number == (f"{chapter}.{section}" if section else f"{chapter}")


# References

# "wire format 2.1", "docs/wire-format.md, sections 3.4 and 5.2"; the words may stand
# in two lines of a comment.
_GAP = r"[\s#]+"
NAMED = re.compile(
    rf"\bwire(?:{_GAP}|-)format(?:\.md)?,?{_GAP}(?:sections?{_GAP})?"
    rf"(\d+(?:\.\d+)?(?:(?:,|{_GAP}and){_GAP}\d+\.\d+)*)"
)
# "(2.1)", for one that has been named above.
BARE = re.compile(r"\((\d+\.\d+)\)")


def prose(path: Path) -> Iterator[str]:
    """Yield the comments and docstrings of a file."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.string
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(
            node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        ):
            yield ast.get_docstring(node) or ""


@cache
def references() -> list[tuple[str, str]]:
    """Return file and number of each reference to a section."""
    found = []
    ours = [p for p in PACKAGE.rglob("*") if p.suffix in {".py", ".lua"}]
    for path in sorted([*ours, *TESTS.rglob("*.py")]):
        if path == Path(__file__):
            continue
        numbers = NAMED.findall(path.read_text("utf-8"))
        if path.is_relative_to(PACKAGE) and path.suffix == ".py":
            numbers += [n for text in prose(path) for n in BARE.findall(text)]
        found += [
            (path.relative_to(ROOT).as_posix(), number)
            for listed in numbers
            for number in re.findall(r"[\d.]+\d|\d", listed)
        ]
    return found


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("as Ruby does (wire format 2.1).", ["2.1"]),
        ("a list (wire format\n    # 3.4, 10.9)", ["3.4, 10.9"]),
        ("see docs/wire-format.md, section 2.1", ["2.1"]),
        ("docs/wire-format.md, sections 3.4\nand 5.2", ["3.4\nand 5.2"]),
        ("the wire format of 2026", []),
    ],
)
def test_references_are_found(text: str, numbers: list[str]) -> None:
    assert NAMED.findall(text) == numbers


def test_every_reference_leads_to_a_section() -> None:
    assert references()
    there = sections()
    assert not [(path, number) for path, number in references() if number not in there]


def test_references_inside_the_document_lead_to_sections() -> None:
    text = DOCUMENT.read_text("utf-8")
    number = r"\d+(?:\.\d+)?"
    lists = re.findall(rf"\bsections?\s+({number}(?:\s+and\s+{number})*)", text)
    assert lists
    assert set(" ".join(lists).split()) - {"and"} <= set(sections())


def test_every_deviation_that_is_named_stands_in_its_table() -> None:
    named = re.findall(r"deviation\s+`([\w-]+)`", DOCUMENT.read_text("utf-8"))
    stated = re.findall(r"^\| `([\w-]+)` \|", DEVIATIONS.read_text("utf-8"), re.M)
    assert named
    assert set(named) <= set(stated)


# Keys


@cache
def source() -> str:
    return "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))


@cache
def scripts() -> dict[str, str]:
    folder = PACKAGE / "store" / "lua"
    return {path.name: path.read_text("utf-8") for path in folder.glob("*.lua")}


def header(script: str, title: str) -> str:
    """Return what the comment at the head of a script says of KEYS or ARGV."""
    lines = [line[2:] for line in script.splitlines() if line.startswith("--")]
    found = re.search(
        rf"^ {title}  (.*?)(?=^ (?:ARGV|KEYS) |^$|\Z)", "\n".join(lines), re.M | re.S
    )
    return " ".join(found[1].split()) if found else ""


def keys_of(script: str) -> list[str]:
    """Return the names of a script's keys, in order; a word where it is none."""
    found = re.findall(r"(?:^| )(\d+)…? (\S+)", header(script, "KEYS"))
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    return [name for _, name in found]


def arguments_of(script: str) -> list[str]:
    """Return what the numbered arguments of a script are said to be."""
    text, found = f" {header(script, 'ARGV')}", []
    while parts := re.fullmatch(rf" {len(found) + 1} (.*)", text):
        text = parts[1]
        following = re.search(rf" {len(found) + 2} ", text)
        found.append(text[: following.start()] if following else text)
        text = text[following.start() :] if following else ""
    return found


def plain(key: str) -> str:
    """Return a key with one name for whatever is put into it."""
    return re.sub(r"<\w+>", "<>", key)


def keys_of_the_code() -> set[str]:
    """Return every key that Keys can make; counters by the names in the scripts."""
    # One key has the namespace twice.
    keys, found = Keys("<>"), set()
    counters = {
        name
        for script in scripts().values()
        for name in re.findall(r"stat:(\w+)", header(script, "KEYS"))
    }
    for name, member in vars(Keys).items():
        if isinstance(member, property):
            found.add(getattr(keys, name))
        elif name == "stat":
            found |= {keys.stat(counter) for counter in counters}
            found |= {keys.stat(counter, "<>") for counter in counters}
        elif callable(member) and not name.startswith("_"):
            parts = member.__code__.co_argcount - 1
            found.add(getattr(keys, name)(*["<>"] * parts))
    return {key.removeprefix("<>:") for key in found}


def keys_of_the_document(head: str = "Key") -> list[str]:
    return [
        plain(code(row[0]))
        for text in sections().values()
        for found in tables(text)
        if found[0][0] == head
        for row in found[1:]
    ]


def test_every_key_of_the_code_stands_in_the_document_and_no_other() -> None:
    assert set(keys_of_the_document()) == keys_of_the_code()


def test_no_key_stands_in_two_tables() -> None:
    rows = [
        code(row[0]) for n in ("1.2", "1.3", "1.4") for row in table(n, "Key", "Type")
    ]
    assert len(rows) == len(set(rows))


def test_keys_that_we_are_said_not_to_use_are_not_made() -> None:
    others = keys_of_the_document("Other key")
    assert others
    assert not keys_of_the_code() & set(others)


def test_keys_in_the_text_are_keys_that_exist() -> None:
    """Every piece of code that looks like a key with a part to be put in."""
    known = {*keys_of_the_document(), *keys_of_the_document("Other key")}
    text = re.sub(r"^```.*?^```", "", DOCUMENT.read_text("utf-8"), flags=re.M | re.S)
    inside = {
        plain(found)
        for found in re.findall(r"`([\w:-]+:<\w+>(?::\w+)*)`", text)
        if not found.startswith("resque:")
    }
    assert inside <= known


def test_the_namespace_stands_in_front() -> None:
    for namespace, key in table("1.1", "Namespace"):
        assert Keys(code(namespace)).queues == code(key)


# Scripts


def test_every_script_stands_in_the_document() -> None:
    stated = [code(row[0]) for row in table("4.1", "Script")]
    assert sorted(stated) == sorted(scripts())


@pytest.mark.parametrize("row", table("4.1", "Script"), ids=lambda row: code(row[0]))
def test_scripts_get_the_keys_and_arguments_of_the_document(row: list[str]) -> None:
    name, keys, arguments, answer = row
    script = scripts()[code(name)]
    stated = [entry.strip("`…") for entry in keys.split(", ")]
    for wanted, given in zip(keys_of(script), stated, strict=True):
        # "the queues to try", "the list": no name of a key.
        assert wanted in (given, "the")
    listed = filter(None, arguments.split(", "))
    fixed = takewhile(lambda entry: not entry.endswith("…"), listed)
    for wanted, given in zip(arguments_of(script), fixed, strict=True):
        assert wanted.startswith(given)
    words = re.findall(r"return \{(?:settled, )?'(\w+)'", script)
    words += ["job"] if code(name) == "reserve.lua" else []
    assert set(codes(answer)) == set(words)


# Jobs


def test_the_example_of_a_job_is_what_is_written() -> None:
    (text,) = examples("2.1")
    job = payload.decode_job(text.encode())
    assert payload.encode_job(job.class_name, job.args) == text


@pytest.mark.parametrize("row", table("2.1", "Class"), ids=lambda row: row[3])
def test_jobs_are_written_as_in_the_document(row: list[str]) -> None:
    class_name, args, limits, text = row
    written = payload.encode_job(value(class_name), value(args), Limits(*value(limits)))
    assert written == code(text)
    read = payload.decode_job(written.encode())
    assert payload.encode_job(read.class_name, read.args, read.limits) == written


@pytest.mark.parametrize("row", table("2.1", "Float"), ids=lambda row: row[0])
def test_floats_are_written_as_in_the_document(row: list[str]) -> None:
    number, text = row
    job = payload.encode_job("Ok", [float(value(number))])
    assert job == f'{{"class":"Ok","args":[{code(text)}]}}'
    assert payload.decode_job(job.encode()).args == (value(number),)


@pytest.mark.parametrize(
    "row", table("2.1", "Element of a queue", "Class"), ids=lambda row: row[0]
)
def test_jobs_are_read_as_in_the_document(row: list[str]) -> None:
    element, class_name, args = row
    read = payload.decode_job(code(element).encode())
    assert (read.class_name, read.args) == (value(class_name), value(args))


@pytest.mark.parametrize(
    "row", table("2.1", "Element of a queue", "In a failure"), ids=lambda row: row[0]
)
def test_elements_are_encoded_again_as_in_the_document(row: list[str]) -> None:
    assert payload.readable(code(row[0]).encode()) == code(row[1])


def test_fields_of_jobs_are_those_of_the_document() -> None:
    job = json.loads(payload.encode_job("Ok", (), Limits(1.0, 1)))
    assert list(job) == fields("2.1", "a job")
    assert list(job["limits"]) == fields("2.1", "`limits`") == list(Limits._fields)


# Worker records and failures


def record(queue: str, run_at: str, element: str) -> bytes:
    """Return a record as the script puts it together."""
    statement = re.search(
        r"local record = (.*?)\n *redis\.call", scripts()["reserve.lua"], re.S
    )
    assert statement
    one, two, three, four = re.findall(r"'([^']*)'", statement[1])
    return f"{one}{json.dumps(queue)}{two}{run_at}{three}{element}{four}".encode()


def test_the_example_of_a_record_is_what_is_written_and_read() -> None:
    text = examples("2.2")[0]
    held = worker_record.decode_held(text.encode())
    assert record(held.queue, held.run_at, held.payload.decode()) == text.encode()
    assert list(json.loads(text)) == fields("2.2", "a worker record")
    payload.decode_job(held.payload)


@pytest.mark.parametrize(
    "row", table("2.2", "Element of a queue"), ids=lambda row: row[0]
)
def test_a_record_gives_back_the_element(row: list[str]) -> None:
    element, kept = map(code, row)
    text = record("default", timestamps.run_at(THEN), kept)
    assert worker_record.decode_held(text).payload == element.encode()
    json.loads(text)


def test_the_record_of_node_resque_is_read() -> None:
    held = worker_record.decode_held(examples("2.2")[1].encode())
    assert held.queue == "default"
    assert payload.decode_job(held.payload).args == ()


def test_the_example_of_a_failure_is_what_is_written(utc: None) -> None:
    text, retried, job = examples("2.2")[2:]
    failure = payload.decode_failure(text.encode())
    fault = FailureInfo(
        failure["exception"], failure["error"], tuple(failure["backtrace"])
    )
    raw = json.dumps(failure["payload"]).encode()
    worker, queue = failure["worker"], failure["queue"]
    written = payload.failure(fault, payload=raw, worker=worker, queue=queue, now=THEN)
    assert written.decode() == text
    assert payload.retried(written, THEN + 84).decode() == retried
    assert payload.retry_job(written) == (queue, job)
    assert list(json.loads(retried)) == fields("2.2", "a failure")


SAID = {
    "a signal ended the child": lambda: judge(None, Exit(-9), pid=4711),
    "a signal ended the child, with a core dump": lambda: judge(
        None, Exit(-6, has_core=True), pid=4711
    ),
    "the child left with a status other than 0": lambda: judge(None, Exit(3), pid=4711),
    "SIGTERM ended the job": lambda: FailureInfo(payload.TERM_EXCEPTION, "SIGTERM"),
    "the worker's heartbeat was too old": lambda: pruned(Liveness.SILENT),
    "the worker's process had ended": lambda: pruned(Liveness.DEAD),
    "the worker's process was killed, and its master wrote the failure": lambda: (
        FailureInfo(
            payload.DIRTY_EXIT,
            f"Worker host1:11:high died of {Exit(-9)} while processing Ok",
        )
    ),
    (
        "the worker was removed by hand, or by a Ruby worker that did not find it in"
        " `ps`, while it held a job"
    ): lambda: FailureInfo(payload.DIRTY_EXIT, "Job still being processed"),
    "the element was no job": lambda: refused(b"{}"),
}


def pruned(verdict: Liveness) -> FailureInfo:
    held = record("high", timestamps.run_at(THEN), payload.encode_job("Ok", ()))
    entry = WorkerEntry("host1:11:high", record=held)
    return pruning.fault_of(pruning.JudgedWorker(entry, verdict))


def refused(raw: bytes) -> FailureInfo:
    with pytest.raises(PayloadError) as caught:
        payload.decode_job(raw)
    return FailureInfo(payload.PAYLOAD_ERROR, str(caught.value))


def test_failures_say_what_stands_in_the_document() -> None:
    stated = {
        row[1]: FailureInfo(code(row[2]), code(row[3]))
        for row in table("2.2", "Written by")
    }
    assert stated == {situation: fault() for situation, fault in SAID.items()}
    # Two are put together where there are processes and a server.
    died = r'"Worker \{[\w.]+\} died of \{[\w.]+\} while processing \{[\w.]+\}"'
    assert re.search(died, source())
    assert '"Job still being processed"' in source()


def test_names_in_failures_stand_in_the_document() -> None:
    limits = (payload.JOB_TIMEOUT, payload.MEMORY_LIMIT, payload.OUT_OF_MEMORY)
    for word in (payload.UNKNOWN_JOB, str(Exit(-33)), *limits):
        assert f"`{word}`" in sections()["2.2"]


# Times


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def use(name: str) -> None:
        monkeypatch.setenv("TZ", ZONES[name])
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def utc(zone: Callable[[str], None]) -> None:
    zone("UTC")


TIMES = {
    "`failed_at`, `retried_at`": timestamps.failed_at,
    "`run_at`": timestamps.run_at,
    "`worker:<id>:started`": timestamps.started,
    "`workers:heartbeat`": timestamps.heartbeat,
}


@pytest.mark.parametrize("name", ZONES)
def test_times_are_written_as_in_the_document(
    name: str, zone: Callable[[str], None]
) -> None:
    zone(name)
    column = {"UTC": 2, "America/New_York": 3}[name]
    head = ("Where", "Form", *ZONES)
    stated = {row[0]: code(row[column]) for row in table("2.3", *head)}
    assert stated == {where: write(THEN) for where, write in TIMES.items()}
    assert f"\n{THEN} seconds after the epoch" in sections()["2.3"]


@pytest.mark.parametrize("row", table("2.3", "Heartbeat"), ids=lambda row: row[0])
def test_heartbeats_are_read_as_in_the_document(row: list[str]) -> None:
    then = value(row[1])
    age = None if then is None else THEN + 5 - then
    assert worker_entry.heartbeat_age(code(row[0]), THEN + 5) == age


def test_the_ping_of_node_resque_is_read() -> None:
    (text,) = examples("2.3")
    assert worker_entry.ping_age(text, THEN + 5) == 5


# Identities, counters, ids, lists, titles


def test_the_example_of_an_identity_is_read_and_written() -> None:
    (text,) = examples("2.4")
    identity = Identity.decode(text)
    assert identity is not None
    assert identity.encode() == text
    assert list(json.loads(text)) == fields("2.4", "an identity")


@pytest.mark.parametrize("row", table("2.5", "Value"), ids=lambda row: row[0])
def test_what_pauses_is_what_the_document_says(row: list[str]) -> None:
    assert means_pause(value(row[0]).encode()) is value(row[1])


@pytest.mark.parametrize("row", table("3.2", "Id"), ids=lambda row: row[0])
def test_ids_are_read_as_in_the_document(row: list[str]) -> None:
    entry = WorkerEntry(code(row[0]))
    read = (entry.host, entry.pid, entry.queues, entry.node_name)
    assert read == tuple(map(value, row[1:]))


@pytest.mark.parametrize("row", table("3.3", "List", "Entries"), ids=lambda r: r[0])
def test_lists_are_read_as_in_the_document(row: list[str]) -> None:
    parsed = queue_list.parse(code(row[0]))
    assert (parsed.entries, parsed.exclusions) == tuple(map(value, row[1:]))


@pytest.mark.parametrize(
    "row", table("3.3", "List", "Members of `queues`"), ids=lambda r: r[0]
)
def test_lists_serve_the_queues_of_the_document(row: list[str]) -> None:
    assert queue_list.parse(code(row[0])).match(value(row[1])) == value(row[2])


TITLES = {
    "worker that is not registered yet": titles.starting(),
    "idle worker": titles.waiting(("high", "low")),
    "paused worker": titles.paused(),
    "worker whose child": titles.forked(4711, THEN),
    "child that runs a job": titles.processing("high", "Archive", THEN),
    "worker of generation 1": titles.quitting(4711, 1),
    "child that waits for its job": titles.STANDBY,
    "worker whose master serves several namespaces": titles.in_namespace(
        titles.waiting(("high", "low")), "mail"
    ),
}


def test_titles_are_those_of_the_document() -> None:
    rows = table("5.2", "Process")
    stated = [code(row[1]).replace("<version>", VERSION) for row in rows]
    assert stated == list(TITLES.values())
    for (process, _), words in zip(rows, TITLES, strict=True):
        assert process.startswith(words)


def test_variables_of_the_document_are_read() -> None:
    names = [name for row in table("5.1", "Variable") for name in codes(row[0])]
    assert not [name for name in names if f'"{name}"' not in source()]


def test_figures_of_the_document_are_those_of_the_code() -> None:
    said = {
        f"{payload.MAX_ERROR} characters": "2.2",
        f"more than {payload.MAX_BACKTRACE}": "2.2",
        f"EX {PRUNE_LOCK_SECONDS} NX": "2.5",
        f"{worker_entry.MISSED_BEATS} heartbeat intervals": "3.4",
        f"older than {worker_entry.RUBY_SILENCE:.0f} s": "3.4",
        f"older than {worker_entry.NODE_SILENCE:.0f} s": "3.4",
    }
    text = {number: " ".join(section.split()) for number, section in sections().items()}
    assert not [words for words, number in said.items() if words not in text[number]]
