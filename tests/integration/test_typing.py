"""Programs of applications, as mypy and pyright see them.

A line that ends in `# wrong` must be an error, and no other line may be one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# Type checkers do not find a package that is installed to be edited.
ROOT = Path(__file__).parents[2]

PROGRAM = """
from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import assert_type

import resqued


@resqued.job(queue="file_serve", timeout="10m", memory="512M")
def archive(repo_id: int, branch: str = "master") -> str:
    return f"{repo_id} {branch}"


@resqued.job(queue="low", timeout=timedelta(minutes=5), memory=1 << 20)
def notify(*names: str) -> None: ...


@resqued.job(timeout=1.5)
def bare() -> None: ...


@resqued.job
def unplaced(number: int) -> None: ...


@resqued.job
class Unplaced:
    @staticmethod
    def perform(number: int) -> None: ...


class Place:
    @staticmethod
    @resqued.job(queue="low")
    def inside(number: int) -> str:
        return f"{number}"


@resqued.job(queue="mail")
class Send:
    @staticmethod
    def perform(address: str, times: int = 1) -> None: ...


class Mail:
    queue = "critical"

    @classmethod
    def perform(cls, address: str) -> None: ...


class Nothing:
    queue = "low"


# Methods that are called later
@resqued.allow_later(methods=("send_invoice",), queue="mail")
class Account:
    id = 7

    @classmethod
    def find(cls, number: int) -> Account:
        return cls()

    def send_invoice(self, number: int, copies: int = 1) -> None: ...

    @resqued.allow_later(queue="low")
    def close(self) -> None: ...


def crop(path: str, width: int = 640) -> str:
    return path


resqued.allow_later(crop, queue="images")
assert_type(resqued.later(Account()).send_invoice(42), bool)
assert_type(resqued.later(Account(), delay="10m").send_invoice(42), bool)
assert_type(resqued.later(Account().send_invoice)(42, copies=2), bool)
resqued.later(Account().send_invoice)("42")  # wrong
assert_type(resqued.later(crop, queue="low")("a.jpg", width=80), bool)
resqued.later(crop)(80)  # wrong
assert_type(crop("a.jpg"), str)
Account().close()


# Hooks
@archive.before_perform
def check(repo_id: int, branch: str = "master") -> None: ...


@archive.around_perform
def within(*args: object, **kwargs: object) -> Iterator[None]:
    yield


@archive.on_failure
def note(error: Exception, repo_id: int, branch: str = "master") -> None: ...


assert_type(check(44), None)


@resqued.hook.around_perform
def timing(job: resqued.JobInfo) -> Iterator[None]:
    assert_type(job.queue, str)
    yield


@resqued.hook.after_fork
def connect(job: resqued.JobInfo) -> None: ...


@resqued.hook.queue_empty
def rest() -> None: ...


@resqued.job(queue="low", before_perform=print, plugins=[object()])
def hooked() -> None: ...


def few(repo_id: str) -> None: ...
def nothing() -> None: ...


archive.before_perform(few)  # wrong
archive.around_perform(print)  # wrong
resqued.hook.before_fork(nothing)  # wrong
resqued.hook.before_pause(5)  # wrong
resqued.job(queue="low", before_perform=5)  # wrong
resqued.plugin.lint(object())
assert_type(resqued.current_job(), resqued.JobInfo | None)

# Calls
archive(44)
assert_type(archive(44, branch="main"), str)
archive("44")  # wrong

# Methods of a job
assert_type(archive.enqueue(44), bool)
archive.enqueue(44, "main")
archive.enqueue(44, branch="main")
archive.enqueue(repo_id=44)
archive.enqueue()  # wrong
archive.enqueue("44")  # wrong
archive.enqueue(44, brnch="main")  # wrong
archive.enqueue(44, branch=1)  # wrong
archive.enqueue(44, "main", 3)  # wrong
archive.enqueue_to("low", 44, branch="main")
archive.enqueue_to("low", "44")  # wrong
archive.enqueue_to(44)  # wrong
notify.enqueue()
notify.enqueue("a", "b")
notify.enqueue("a", 2)  # wrong
bare.enqueue()
bare.enqueue(1)  # wrong
unplaced.enqueue_to("low", 7)
unplaced.enqueue_to("low", "7")  # wrong
resqued.enqueue_to("low", Unplaced, 7)
resqued.enqueue_to("low", Unplaced, "7")  # wrong
assert_type(Place.inside(7), str)
Place.inside.enqueue(7)
Place().inside.enqueue("7")  # wrong
archive.delay(44)  # wrong
archive.name.upper()

# Limits
archive.limited(timeout="2h").enqueue(44)
archive.limited(timeout=timedelta(hours=2), memory="4G").enqueue(44)
archive.limited(timeout=0, memory=0).enqueue_to("low", 44)
archive.limited(timeout=90).enqueue("44")  # wrong
archive.limited(timeout=["2h"])  # wrong
archive.limited(memory=timedelta(1))  # wrong
archive.limited(limit=3)  # wrong
resqued.job(queue=3)  # wrong
resqued.job(timeout=b"2h")  # wrong
resqued.job(memory=[])  # wrong
resqued.job("low")  # wrong
resqued.job(queue="low", retries=3)  # wrong

# Functions of the package: functions and classes as jobs
resqued.enqueue(archive, 44, branch="main")
resqued.enqueue(archive, "44")  # wrong
resqued.enqueue(archive)  # wrong
resqued.enqueue(Send, "a@example.org", times=2)
resqued.enqueue(Send, 7)  # wrong
resqued.enqueue(Send, "a@example.org", time=2)  # wrong
resqued.enqueue(Mail, "a@example.org")
resqued.enqueue(Mail)  # wrong
resqued.enqueue(Mail, "a@example.org", 2)  # wrong
resqued.enqueue(Nothing, 1)  # wrong
resqued.enqueue(len, [])  # wrong
resqued.enqueue("SendMail", 7)  # wrong

resqued.enqueue_to("low", archive, 44, branch="main")
resqued.enqueue_to("low", archive, "44")  # wrong
resqued.enqueue_to("low", Mail, "a@example.org")
resqued.enqueue_to("low", Mail, 7)  # wrong
resqued.enqueue_to("low", "SendMail", 7, {"a": [None]})
resqued.enqueue_to("low", "SendMail", number=7)  # wrong
resqued.enqueue_to(7, archive, 44)  # wrong


def numbers() -> Iterator[tuple[int]]:
    yield from ((n,) for n in range(3))


assert_type(resqued.enqueue_many(numbers(), job=archive), int)
resqued.enqueue_many([(archive, 44), (Mail, "a@example.org")])
resqued.enqueue_many([["a@example.org"]], job=Mail, queue="low")
resqued.enqueue_many([(44,)], job="Archive", queue="low")
resqued.enqueue_many(["abc"], job=archive)  # wrong
resqued.enqueue_many([44], job=archive)  # wrong
resqued.enqueue_many([(44,)], job=len)  # wrong
resqued.enqueue_many([(44,)], archive)  # wrong

assert_type(resqued.dequeue(archive, 44), int)
resqued.dequeue(Mail)
resqued.dequeue("SendMail", 7, queue="mailers")
resqued.dequeue(archive, 44, queue=3)  # wrong
resqued.dequeue(len, 44)  # wrong
assert_type(archive.dequeue(44, branch="main"), int)
archive.dequeue()
archive.dequeue("44")  # wrong

# Records
assert_type(resqued.info().pending, int)
resqued.info()["pending"]  # wrong
assert_type(resqued.default_client().status().queues["low"], int)
resqued.info().pending = 3  # wrong
for worker in resqued.working():
    assert_type(worker.pid, int)
    assert_type(worker.started, datetime | None)
    assert_type(worker.heartbeat, datetime | None)
    worker.job.args  # wrong
    if worker.job:
        assert_type(worker.job.class_name, str)
        assert_type(worker.job.run_at, datetime | None)
        worker.job["class"]  # wrong
    if worker.state == "working":
        pass
for queued in resqued.peek("low", 0, 20):
    queued["class"].upper()
failures = resqued.failures()
for failure in failures.page(0, 20):
    assert_type(failure.error, str)
    assert_type(failure.failed_at, datetime | None)
    failure.failed_at.timestamp()  # wrong
    assert_type(failures.retry(failure), bool)
    failure.message  # wrong
failures.find(7)  # wrong
if (found := failures.find("0123")) is not None:
    failures.remove(found)

# The client, and errors
client = resqued.configure("redis://localhost", namespace="a", timeout=2.5)
assert_type(client, resqued.Client)
resqued.configure(timeout="2s")  # wrong
with resqued.configure(inline=True) as inline:
    assert_type(inline, resqued.Client)
client.enqueue(archive, 44, branch="main")
client.enqueue(archive, "44")  # wrong
if (job := client.reserve("low")) is not None:
    assert_type(job.class_name, str)
try:
    resqued.pop("low")
except resqued.PayloadError as error:
    raise SystemExit(error.exit_code) from error
"""


def mypy(program: Path) -> set[int]:
    command = [
        "mypy",
        "--strict",
        "--config-file=",
        "--no-pretty",
        "--no-error-summary",
    ]
    command += ["--cache-dir", str(program.parent / "mypy"), str(program)]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=program.parent,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    assert not done.stderr, done.stderr
    return {
        int(n) for n in re.findall(rf"^{program.name}:(\d+): error", done.stdout, re.M)
    }


def pyright(program: Path) -> set[int]:
    # It says what mypy does not check: an expression that does nothing.
    settings: dict[str, object] = {
        "typeCheckingMode": "strict",
        "reportUnusedExpression": "none",
        "extraPaths": [str(ROOT)],
    }
    (program.parent / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", program.name],
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {
        one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"
    }


@pytest.mark.parametrize("check", [mypy, pyright])
def test_a_type_checker_finds_the_wrong_lines_and_no_others(
    check: Callable[[Path], set[int]], tmp_path: Path
) -> None:
    lines = PROGRAM.splitlines()
    wrong = {n for n, line in enumerate(lines, 1) if line.endswith("# wrong")}
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    found = check(program)
    text = "\n".join(f"{n}: {lines[n - 1]}" for n in sorted(found ^ wrong))
    assert found == wrong, f"found and not expected, or the other way round:\n{text}"
