"""The files of a process in proc(5): real processes, threads and descriptors."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resqued.master.usage import ProcessTable, ProcessTree
from resqued.system import procfs
from resqued.system.procfs import ProcessFiles
from tests.support.wait import wait_until

# A thread that starts a process, as a job may: the process is the thread's child.
THREAD = """
import subprocess, threading
threading.Thread(target=subprocess.run, args=(["sleep", "600"],)).start()
"""


@contextmanager
def running(*command: str) -> Iterator[int]:
    with subprocess.Popen(command) as process:
        try:
            yield process.pid
        finally:
            for child in procfs.children(process.pid) or ():
                os.kill(child, 9)
            process.kill()


def is_asleep(pid: int) -> bool:
    fields = procfs.stat_fields(pid)
    return fields is not None and fields[0] == "S"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(params=["kept open", "opened each time"])
def is_short(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether this process has few descriptors left."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_short = request.param == "opened each time"
    fill: list[int] = []
    if is_short:
        most = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 8
        # Numbers below those that were inherited may be free: none of them is to be.
        while not fill or fill[-1] < most - 8:
            fill.append(os.open(os.devnull, os.O_RDONLY))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, limits[1]))
    yield is_short
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for number in fill:
        os.close(number)


def test_files_are_kept_only_while_there_is_room_and_closed_in_the_end(
    is_short: bool,
) -> None:
    before = descriptors()
    with running("sleep", "600") as pid:
        files = ProcessFiles(pid)
        assert descriptors() - before == (0 if is_short else 3)
        assert files.is_alone()
        # A program that still starts grows between two readings.
        wait_until(lambda: is_asleep(pid), what="the sleep of the process")
        assert files.resident_pages() == procfs.resident_pages(pid) > 0
    assert files.resident_pages() == 0
    del files
    assert descriptors() == before


@pytest.mark.usefixtures("is_short")
@pytest.mark.parametrize(
    "command", [("sh", "-c", "sleep 600; true"), (sys.executable, "-c", THREAD)]
)
def test_a_process_with_a_child_is_not_alone(command: tuple[str, ...]) -> None:
    with running(*command) as pid:
        files = ProcessFiles(pid)
        wait_until(lambda: procfs.children(pid), what="a child")
        assert not files.is_alone()


def test_memory_of_a_process_alone_is_measured_without_opening_a_file() -> None:
    opened: list[object] = []
    is_watched = False

    def note(event: str, args: tuple[object, ...]) -> None:
        if is_watched and event == "open":
            opened.append(args[0])

    with running("sleep", "600") as pid:
        tree = ProcessTree.of(pid, ProcessTable())
        assert tree is not None
        first = tree.memory(1 << 40)
        sys.addaudithook(note)  # it stays, and does nothing after this test
        is_watched = True
        second = tree.memory(1 << 40)
        is_watched = False
    # The program may still start, and grow: the sizes need not be the same.
    assert min(first.size, second.size) > 0
    assert first.is_exact == second.is_exact
    assert opened == []


def test_memory_counts_a_child_from_the_moment_that_it_exists() -> None:
    script = "import subprocess, sys; input(); subprocess.run(['sleep', '600'])"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, text=True
    ) as process:
        tree = ProcessTree.of(process.pid, ProcessTable())
        assert tree is not None
        tree.memory(1 << 40)
        assert tree.size == 1
        assert process.stdin
        print(file=process.stdin, flush=True)
        wait_until(lambda: procfs.children(process.pid), what="a child")
        tree.memory(1 << 40)
        assert tree.size == 2
        tree.kill()
