"""The pipes of a child: real ones, between processes that are really forked."""

from __future__ import annotations

import os
import resource
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from resqued.ipc.job_pipe import ChildEnd, PipeSecret, WorkerEnd
from resqued.wire.outcome import ChildReport
from resqued.wire.payload import FailureInfo
from tests.support.forking import run_in_child

SECRET = PipeSecret()
FAULT = FailureInfo("ValueError", "the reason", ("line 1", "line 2"))


class Ends:
    """Both ends of a child's pipes, and the descriptors below the child's."""

    def __init__(self) -> None:
        self.down, self.up = os.pipe(), os.pipe()
        self.worker = WorkerEnd(self.down[1], self.up[0], secret=SECRET)
        self.child = ChildEnd(
            self.down[0], self.up[1], secret=SECRET, read_end=self.up[0]
        )
        self.worker.give(b"queue", b"payload")
        assert self.child.wait_for_job(is_last=False) == (b"queue", b"payload", b"")

    def close(self) -> None:
        for fd in (*self.down, *self.up):
            os.close(fd)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


@pytest.mark.parametrize("fault", [None, FAULT])
@pytest.mark.parametrize("has_left", [False, True])
@pytest.mark.parametrize("stays", [False, True])
def test_an_outcome_arrives_as_it_was_told(ends, fault, has_left, stays):
    assert ends.worker.receive(may_stay=True) is None
    ends.child.tell(fault, has_left=has_left, stays=stays)
    assert ends.worker.receive(may_stay=True) == ChildReport(fault, has_left, stays)
    assert ends.worker.receive(may_stay=True) is None


def failed_for_writing(report: ChildReport | None) -> bool:
    assert report is not None
    return report.fault is not None and "wrote into the pipe" in report.fault.error


@pytest.mark.parametrize(
    "rubbish",
    [
        bytes(12),
        b"anything at all",
        SECRET.prefix + b"\x3f\xff\xff\xff",
        SECRET.prefix + b"\0\0\0\2[]",
        SECRET.prefix + b"\0\0\0\4null",
        SECRET.prefix + b"\0\0\0\4\xff\xff\xff\xff",
    ],
    ids=["zeros", "text", "too long", "a list", "null", "no text"],
)
def test_what_is_no_outcome_is_a_failure(ends, rubbish):
    os.write(ends.up[1], rubbish)
    assert failed_for_writing(ends.worker.receive(may_stay=True))


def test_a_few_bytes_before_the_outcome_spoil_it(ends):
    os.write(ends.up[1], b"\0")
    assert ends.worker.receive(may_stay=True) is None
    ends.child.tell(None)
    assert failed_for_writing(ends.worker.receive(may_stay=True))


def test_a_child_does_not_stay_beyond_its_last_job(ends):
    ends.child.tell(None, stays=True)
    assert failed_for_writing(ends.worker.receive(may_stay=False))


def test_an_outcome_finds_its_pipe_when_the_job_has_closed_it(ends, tmp_path):
    def job() -> None:
        assert ends.child.is_whole()
        os.closerange(3, 64)
        files = [(tmp_path / str(n)).open("wb", buffering=0) for n in range(20)]
        assert not ends.child.is_whole()
        ends.child.tell(FAULT)
        assert all(file.tell() == 0 for file in files)

    run_in_child(job)
    assert ends.worker.receive(may_stay=True) == ChildReport(FAULT)


def test_an_outcome_without_any_way_to_its_worker_is_an_error(ends, tmp_path):
    # As if the worker were gone.
    other = (tmp_path / "other").open("wb")
    child = ChildEnd(ends.down[0], ends.up[1], secret=SECRET, read_end=other.fileno())
    ends.worker.give(b"queue", b"payload")
    child.wait_for_job()

    def job() -> None:
        os.dup2(other.fileno(), ends.up[1])
        with pytest.raises(OSError, match="is another file"):
            child.tell(None)

    run_in_child(job)
    other.close()
    assert (tmp_path / "other").read_bytes() == b""


@contextmanager
def taking_jobs() -> Iterator[WorkerEnd]:
    """Fork a child that takes jobs of any size and reports how long they were."""
    down, up = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _take(down, up)
    worker = WorkerEnd(down[1], up[0], secret=SECRET)
    os.close(down[0])
    os.close(up[1])
    yield worker
    worker.close()
    os.waitpid(pid, 0)


def _take(down: tuple[int, int], up: tuple[int, int]) -> NoReturn:
    os.close(down[1])
    child = ChildEnd(down[0], up[1], secret=SECRET, read_end=up[0])
    while (job := child.wait_for_job(is_last=False)) is not None:
        child.tell(FailureInfo("", str(len(job[1])), ()), stays=True)
    os._exit(0)


def cpu(payload: bytes) -> float:
    """Return the CPU time, in seconds, of worker and child for one job."""

    def used() -> float:
        every = map(
            resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        return sum(usage.ru_utime + usage.ru_stime for usage in every)

    before = used()
    with taking_jobs() as worker:
        is_given = worker.give(b"queue", payload)
        while not is_given:
            select.select([], [worker.down], [])
            worker.pump()
            is_given = not worker.wants_write
        while (report := worker.receive(may_stay=True)) is None:
            select.select([worker.up], [], [])
    assert report.fault is not None
    assert report.fault.error == str(len(payload))
    return used() - before


def test_a_payload_costs_what_its_size_is():
    # By the square of it, eight times the size would cost sixty-four times as much.
    small, large = (
        min(cpu(b"x" * (megabytes << 20)) for _ in range(2)) for megabytes in (8, 64)
    )
    assert large < 24 * max(small, 0.01)
