"""Watching processes: whose they are, and which of them live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.processes import JobProcesses, entry_of, is_alive, open_files, title
from tests.support.wait import wait_until

MARK = "FAMILY_UNDER_TEST"


@pytest.fixture
def family() -> Iterator[JobProcesses]:
    found = JobProcesses(MARK, uuid.uuid4().hex)
    yield found
    for process in found.alive():
        process.kill()
    wait_until(lambda: not found.pids(), what="the end of them all")


def start(family: JobProcesses, script: str) -> subprocess.Popen[str]:
    """Start a shell that has the family's mark."""
    name, _, value = family.mark.partition("=")
    return subprocess.Popen(
        ["sh", "-c", script],
        env={**os.environ, name: value},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_an_orphan_in_a_session_of_its_own_is_known_by_its_mark(
    family: JobProcesses,
) -> None:
    with start(family, "setsid sleep 600 >/dev/null & echo $!") as shell:
        assert shell.stdout
        orphan = int(shell.stdout.readline())
    assert shell.returncode == 0
    assert family.pids() == [orphan]


def test_one_without_the_mark_is_known_by_its_parent_and_stays_known(
    family: JobProcesses,
) -> None:
    script = f"env -u {MARK} setsid sleep 600 >/dev/null & echo $!; exec sleep 600"
    with start(family, script) as shell:
        assert shell.stdout
        child = int(shell.stdout.readline())
        wait_until(lambda: "sleep" in title(child), what="the child's program")
        assert family.pids() == sorted([shell.pid, child])
        shell.kill()
    assert family.pids() == [child]


def test_one_without_mark_and_parent_is_known_by_its_session(
    family: JobProcesses,
) -> None:
    script = f"env -u {MARK} sleep 600 >/dev/null & echo $!"
    with start(family, f"exec setsid sh -c '{script}'") as shell:
        assert shell.stdout
        child = int(shell.stdout.readline())
    row = entry_of(child)
    assert row
    wait_until(lambda: "sleep" in title(child), what="the child's program")
    family.sessions.add(row.session)
    assert family.pids() == [child]


def test_one_that_works_in_the_place_is_of_the_family(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    family = JobProcesses(MARK, uuid.uuid4().hex, place=tmp_path)
    with subprocess.Popen(["sleep", "600"], cwd=tmp_path / "below") as sleeper:
        assert family.pids() == [sleeper.pid]
        sleeper.kill()


def test_others_are_not_of_the_family(family: JobProcesses) -> None:
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        assert family.pids() == []
        sleeper.kill()


def test_the_dead_do_not_live_though_nobody_has_waited_for_them(
    family: JobProcesses,
) -> None:
    with start(family, "exec sleep 600") as sleeper:
        process = psutil.Process(sleeper.pid)
        assert is_alive(sleeper.pid)
        assert is_alive(process)
        os.kill(sleeper.pid, signal.SIGKILL)
        os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(sleeper.pid)
        assert not is_alive(process)
        assert family.pids() == []
        assert entry_of(sleeper.pid)
    assert entry_of(sleeper.pid) is None
    assert open_files(sleeper.pid) == []
    assert title(sleeper.pid) == ""


def test_a_name_may_have_parentheses_and_spaces(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.symlink_to(sys.executable)
    code = "import signal; signal.pause()"
    with subprocess.Popen([program, "-S", "-c", code]) as odd:
        row = entry_of(odd.pid)
        assert row
        assert row.parent == os.getpid()
        assert row.session == os.getsid(odd.pid)
        odd.kill()
