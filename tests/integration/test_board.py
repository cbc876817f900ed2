"""The scoreboard: real shared memory, between processes that are really forked."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.limits import UNSET, Cause, Limits
from resqued.ipc.scoreboard import SPOILT, Phase, RunCounts, Scoreboard, StepRecord
from resqued.system.signals import STACK_SIGNAL
from tests.support.forking import forked, run_in_child
from tests.support.processes import open_files
from tests.support.wait import wait_until

# One page; stacks lie behind it.
PAGE = 4096


@pytest.fixture
def scoreboard() -> Iterator[Scoreboard]:
    made = Scoreboard.create()
    yield made
    with suppress(ValueError, OSError):  # some tests close it themselves
        made.close()


def test_a_scoreboard_that_cannot_be_made_keeps_no_descriptor():
    def make() -> None:
        before = open_files(os.getpid())
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE, most))
        with pytest.raises(OSError, match="File too large"):
            Scoreboard.create()
        assert open_files(os.getpid()) == before

    run_in_child(make)


# What a worker does


def test_a_board_begins_with_a_worker_that_starts(scoreboard):
    assert scoreboard.read() == StepRecord(Phase.STARTING, child=0, since=0.0, began=0)
    assert scoreboard.run_counts() == RunCounts(0, 0)
    assert scoreboard.cause() == (Cause.ORDER, "")
    assert scoreboard.limits_of(4711) is None
    assert scoreboard.stack() == ()


@pytest.mark.parametrize("phase", Phase)
def test_a_master_reads_what_its_worker_has_written(scoreboard, phase):
    status = StepRecord(phase, 4_194_304, 12_345.678, 1 << 40)
    run_in_child(lambda: scoreboard.write(*status))
    assert scoreboard.read() == status
    assert scoreboard.read().phase is phase


def test_only_the_last_status_is_there(scoreboard):
    def work() -> None:
        for number in range(1000):
            scoreboard.write(
                *StepRecord(Phase(number % 6), number, float(number), number)
            )

    run_in_child(work)
    assert scoreboard.read() == StepRecord(Phase(999 % 6), 999, 999.0, 999)


def test_a_descriptor_that_was_handed_over_is_the_same_board(scoreboard):
    theirs = Scoreboard(os.dup(scoreboard.fd))
    run_in_child(lambda: theirs.write(*StepRecord(Phase.RUNNING, 5, 1.5, 9)))
    theirs.close()
    assert scoreboard.read() == StepRecord(Phase.RUNNING, 5, 1.5, 9)


def test_the_status_of_a_worker_outlives_it(scoreboard):
    def work() -> None:
        scoreboard.write(*StepRecord(Phase.RUNNING, 77, 2.5, 3))
        os.kill(os.getpid(), signal.SIGKILL)

    with forked(work) as pid:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert scoreboard.read() == StepRecord(Phase.RUNNING, 77, 2.5, 3)


def test_half_a_status_of_a_worker_that_was_killed_is_read_at_last(scoreboard):
    scoreboard.write(*StepRecord(Phase.RUNNING, 77, 2.5, 3))
    # It came no further than to write beside the last one.
    os.pwrite(scoreboard.fd, b"\xff" * 24, 8)
    assert scoreboard.read() == StepRecord(Phase.RUNNING, 77, 2.5, 3)
    scoreboard.write(*StepRecord(Phase.WAITING))
    assert scoreboard.read() == StepRecord(Phase.WAITING)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="takes two processors")
def test_no_status_is_a_mixture_of_two_nor_older_than_the_last(scoreboard):
    def work() -> None:
        number = 0
        while True:
            number += 1
            scoreboard.write(
                *StepRecord(Phase(number % 6), number % 2**32, float(number), number)
            )

    with forked(work):
        wait_until(lambda: scoreboard.read().began)
        last = 0
        for _ in range(100_000):
            phase, child, since, began = scoreboard.read()
            assert (phase, child, since) == (began % 6, began, began)
            assert began >= last
            last = began


def test_runs_are_counted(scoreboard):
    run_in_child(
        lambda: [scoreboard.count(*RunCounts(n, n // 3)) for n in range(1, 11)]
    )
    assert scoreboard.run_counts() == RunCounts(done=10, failed=3)


# What a child runs, and why it is ended


@given(
    st.integers(1, 1 << 22),
    st.builds(
        Limits,
        st.none() | st.floats(0, 1e15),
        st.none() | st.integers(0, 1 << 62),
    ),
)
def test_the_limits_of_a_job_are_as_its_child_knows_them(pid, limits):
    one = Scoreboard.create()
    try:
        one.limit(pid, limits)
        assert one.limits_of(pid) == limits
        assert one.limits_of(pid + 1) is None
    finally:
        one.close()


def test_what_earlier_jobs_of_a_child_have_used_is_told_of_that_child_alone(scoreboard):
    scoreboard.limit(5, Limits(60.0), used=2.5)
    assert scoreboard.used_before(5) == 2.5
    assert scoreboard.used_before(6) == 0.0


def test_a_limit_of_nothing_is_not_the_same_as_none_given(scoreboard):
    scoreboard.limit(5, Limits(0.0, 0))
    assert scoreboard.limits_of(5) == Limits(0.0, 0)
    scoreboard.limit(5, UNSET)
    assert scoreboard.limits_of(5) == UNSET


def test_the_limits_are_those_of_the_last_child_alone(scoreboard):
    def job(limits: Limits) -> int:
        with forked(lambda: scoreboard.limit(os.getpid(), limits)) as pid:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    first = job(Limits(1.0, 10))
    assert scoreboard.limits_of(first) == Limits(1.0, 10)
    second = job(Limits(2.0, None))
    assert scoreboard.limits_of(second) == Limits(2.0, None)
    assert first == second or scoreboard.limits_of(first) is None


def test_more_memory_than_there_is_can_be_told(scoreboard):
    scoreboard.limit(5, Limits(None, 1 << 63))
    found = scoreboard.limits_of(5)
    assert found is not None
    assert found.memory


@pytest.mark.parametrize("cause", Cause)
def test_a_child_learns_why_it_is_terminated(scoreboard, cause):
    # Whatever was said to the one before it.
    scoreboard.set_cause(Cause.MEMORY)
    scoreboard.set_cause(cause, "it took 5 s, too long")

    def job() -> None:
        assert scoreboard.cause() == (cause, "it took 5 s, too long")

    run_in_child(job)


def test_what_is_told_of_one_thing_leaves_the_others_alone(scoreboard):
    status = StepRecord(Phase.RUNNING, 2**22, 1e308, 2**63 - 1)
    tally, limits = RunCounts(2**53 - 1, 2**53 - 1), Limits(1e308, 2**63 - 1)
    tellings = [
        lambda: scoreboard.write(*status),
        lambda: scoreboard.count(*tally),
        lambda: scoreboard.limit(4_194_304, limits),
        lambda: scoreboard.set_cause(Cause.MEMORY, "x" * 10_000),
        scoreboard.clear_stack,
    ]
    # In either order, so that whatever spilt over would be seen.
    for told in (tellings, reversed(tellings)):
        for tell in told:
            tell()
        assert scoreboard.read() == status
        assert scoreboard.run_counts() == tally
        assert scoreboard.limits_of(4_194_304) == limits
        assert scoreboard.cause() == (Cause.MEMORY, "x" * 2000)
        assert scoreboard.stack() == ()


# Stacks


@contextmanager
def worker(scoreboard: Scoreboard, job: Callable[[], object]) -> Iterator[int]:
    """Run a job in a child whose stacks go to the board; answer once it is ready."""
    reader, writer = os.pipe()

    def main() -> None:
        scoreboard.enable_stack_dump()
        os.write(writer, b"!")
        job()

    with forked(main) as pid:
        os.read(reader, 1)
        yield pid
    os.close(reader)
    os.close(writer)


def wait_for_ever() -> None:
    while True:
        signal.pause()


def wait_in_a_thread() -> None:
    threading.Event().wait()


# PyDLL keeps the interpreter's lock while it calls: no other Python code can run.
_sleep = ctypes.PyDLL(None).sleep


def keep_the_interpreter_to_itself() -> None:
    while True:
        _sleep(60)


def take_stack(scoreboard: Scoreboard, pid: int) -> tuple[str, ...]:
    """Have a process write its stack, and return it when all of it is there."""
    os.kill(pid, STACK_SIGNAL)
    wait_until(lambda: any("<module>" in line for line in scoreboard.stack()))
    return scoreboard.stack()


def stack_in(
    scoreboard: Scoreboard, pid: int, *functions: Callable[[], object]
) -> tuple[str, ...]:
    """Return a process's stack, once it has come as far as these functions."""

    def taken() -> tuple[str, ...] | None:
        scoreboard.clear_stack()
        text = "\n".join(stack := take_stack(scoreboard, pid))
        return stack if all(f" in {f.__name__}" in text for f in functions) else None

    return wait_until(taken, what="the stack of what it waits in")


@pytest.mark.parametrize("job", [wait_for_ever, keep_the_interpreter_to_itself])
def test_a_process_writes_its_stack_whatever_it_does(scoreboard, job):
    scoreboard.write(*StepRecord(Phase.RUNNING, 5, 1.5, 9))
    with worker(scoreboard, job) as pid:
        stack = stack_in(scoreboard, pid, job)
    assert "most recent call first" in stack[0]
    assert f" in {job.__name__}" in stack[1]
    assert scoreboard.read() == StepRecord(Phase.RUNNING, 5, 1.5, 9)


def test_all_threads_of_a_job_are_in_the_stack(scoreboard):
    def two_at_once() -> None:
        # The second is daemonic: nobody waits for it.
        threading.Thread(target=wait_in_a_thread, daemon=True).start()
        wait_for_ever()

    with worker(scoreboard, two_at_once) as pid:
        stack = stack_in(scoreboard, pid, wait_for_ever, wait_in_a_thread)
    assert sum("most recent call first" in line for line in stack) == 2


def test_a_child_writes_where_its_worker_would(scoreboard):
    def fork_and_wait() -> None:
        with forked(wait_for_ever) as child:
            scoreboard.write(*StepRecord(Phase.RUNNING, child))
            wait_for_ever()

    with worker(scoreboard, fork_and_wait):
        child = wait_until(lambda: scoreboard.read().child)
        try:
            stack = stack_in(scoreboard, child, wait_for_ever)
        finally:
            os.kill(child, signal.SIGKILL)
    assert " in wait_for_ever" in stack[1]


def test_stacks_that_were_cleared_make_room_for_others(scoreboard):
    with worker(scoreboard, wait_for_ever) as pid:
        first = stack_in(scoreboard, pid, wait_for_ever)
        scoreboard.clear_stack()
        assert scoreboard.stack() == ()
        assert take_stack(scoreboard, pid) == first


def test_stacks_that_were_not_cleared_stand_one_behind_the_other(scoreboard):
    with worker(scoreboard, wait_for_ever) as pid:
        first = stack_in(scoreboard, pid, wait_for_ever)
        os.kill(pid, STACK_SIGNAL)
        wait_until(lambda: len(scoreboard.stack()) == 2 * len(first))
        assert scoreboard.stack() == first + first


def test_a_stack_that_nobody_asked_for_leaves_the_page_alone(scoreboard):
    scoreboard.write(*StepRecord(Phase.RUNNING, 5, 1.5, 9))
    with worker(scoreboard, wait_for_ever) as pid:
        os.kill(pid, STACK_SIGNAL)
        # Wherever it goes to.
        wait_until(lambda: b"<module>" in os.pread(scoreboard.fd, 1 << 16, 0))
    assert scoreboard.read() == StepRecord(Phase.RUNNING, 5, 1.5, 9)
    assert "most recent call first" in scoreboard.stack()[0]


def test_of_endless_stacks_the_beginning_is_read(scoreboard):
    scoreboard.clear_stack()
    # There is no more room than is read.
    with suppress(PermissionError):
        for _ in range(100_000):
            os.write(scoreboard.fd, b"File x, line 1\n")
    stack = scoreboard.stack()
    assert set(stack[:-1]) == {"File x, line 1"}
    assert 60_000 < len("\n".join(stack)) <= 64 << 10


def test_names_in_no_encoding_do_not_spoil_a_stack(scoreboard):
    scoreboard.clear_stack()
    os.write(scoreboard.fd, b"File \xff.py, line 1\nFile y")
    assert scoreboard.stack() == ("File \ufffd.py, line 1", "File y")


# What a job may write there


@pytest.mark.parametrize("size", [0, PAGE, 1 << 20])
def test_nobody_changes_the_size_of_a_board(scoreboard, size):
    with pytest.raises(PermissionError):
        os.ftruncate(scoreboard.fd, size)


def write_status(scoreboard: Scoreboard, *values: float) -> None:
    """Write a record as Scoreboard.write does, of any values."""
    os.pwrite(scoreboard.fd, struct.pack("=Q", 0) + struct.pack("=IIdq", *values), 0)


@pytest.mark.parametrize(
    "values",
    [
        (99, 5, 1.0, 1),
        (2**32 - 1, 5, 1.0, 1),
        (3, 1, 1.0, 1),
        (3, 2**32 - 1, 1.0, 1),
        (3, 5, math.nan, 1),
        (3, 5, math.inf, 1),
        (3, 5, -math.inf, 1),
        (3, 5, -1.0, 1),
        (3, 5, 1.0, -1),
    ],
)
def test_what_no_worker_writes_is_read_as_spoilt(scoreboard, values):
    write_status(scoreboard, *values)
    assert scoreboard.read() == SPOILT
    scoreboard.write(Phase.RUNNING, 5, 1.5, 9)
    assert scoreboard.read() == StepRecord(Phase.RUNNING, 5, 1.5, 9)


@given(st.binary(min_size=1, max_size=48))
def test_any_bytes_can_be_read(some):
    data = (some * PAGE)[:PAGE]
    scoreboard = Scoreboard.create()
    try:
        os.pwrite(scoreboard.fd, data, 0)
        status, counts = scoreboard.read(), scoreboard.run_counts()
        assert math.isfinite(status.since)
        assert counts.failed <= counts.done
        for pid in (0, 5, *struct.unpack_from("=q", data, 264)):
            limits = scoreboard.limits_of(pid) or UNSET
            assert math.isfinite(limits.runtime or 0.0)
            assert math.isfinite(scoreboard.used_before(pid))
        assert scoreboard.cause()[0] in Cause
        # And its worker writes over it.
        scoreboard.write(Phase.WAITING, 0, 2.0, 0)
        assert scoreboard.read() == StepRecord(Phase.WAITING, 0, 2.0, 0)
    finally:
        scoreboard.close()


def test_a_worker_counts_on_behind_the_highest_number(scoreboard):
    os.pwrite(scoreboard.fd, b"\xff" * 8, 0)
    scoreboard.write(Phase.WAITING, 0, 2.0, 0)
    assert scoreboard.read() == StepRecord(Phase.WAITING, 0, 2.0, 0)


def test_a_process_that_has_closed_the_board_does_not_have_it_open(scoreboard):
    closed, written = os.pipe()

    def close() -> None:
        os.close(scoreboard.fd)
        os.open("/dev/null", os.O_RDONLY)  # its number
        os.write(written, b"!")
        wait_for_ever()

    assert scoreboard.is_open_in(os.getpid())
    with forked(close) as pid:
        os.read(closed, 1)
        assert not scoreboard.is_open_in(pid)
    assert not scoreboard.is_open_in(pid)


# Its end


def test_a_board_is_given_up_by_one_process_and_goes_on_in_another(scoreboard):
    run_in_child(scoreboard.close)
    scoreboard.write(*StepRecord(Phase.WAITING, since=2.0))
    assert scoreboard.read() == StepRecord(Phase.WAITING, since=2.0)


def test_a_board_that_was_given_up_leaves_no_descriptor(scoreboard):
    scoreboard.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(scoreboard.fd)


def test_programs_that_a_job_starts_do_not_get_the_board(scoreboard):
    assert not os.get_inheritable(scoreboard.fd)
