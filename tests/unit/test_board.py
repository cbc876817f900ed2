"""The board: real shared memory, between processes that are really forked."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.limits import UNLIMITED, Cause, Limits
from resqued.ipc.scoreboard import Board, Phase, Status, Tally
from resqued.system.signals import STACK
from tests.support.forking import forked, run_in_child
from tests.support.wait import wait_until

# One page; stacks lie behind it.
PAGE = 4096


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create()
    yield made
    with suppress(ValueError, OSError):  # some tests close it themselves
        made.close()


# What a worker does


def test_a_board_begins_with_a_worker_that_starts(board):
    assert board.read() == Status(Phase.STARTING, child=0, since=0.0, began=0)
    assert board.counted() == Tally(0, 0)
    assert board.cause() is Cause.ORDER
    assert board.limits_of(4711) is None
    assert board.stack() == ()


@pytest.mark.parametrize("phase", Phase)
def test_a_master_reads_what_its_worker_has_written(board, phase):
    status = Status(phase, 4_194_304, 12_345.678, 1 << 40)
    run_in_child(lambda: board.write(*status))
    assert board.read() == status
    assert board.read().phase is phase


def test_only_the_last_status_is_there(board):
    def work() -> None:
        for number in range(1000):
            board.write(*Status(Phase(number % 6), number, float(number), number))

    run_in_child(work)
    assert board.read() == Status(Phase(999 % 6), 999, 999.0, 999)


def test_a_descriptor_that_was_handed_over_is_the_same_board(board):
    theirs = Board(os.dup(board.fd))
    run_in_child(lambda: theirs.write(*Status(Phase.RUNNING, 5, 1.5, 9)))
    theirs.close()
    assert board.read() == Status(Phase.RUNNING, 5, 1.5, 9)


def test_the_status_of_a_worker_outlives_it(board):
    def work() -> None:
        board.write(*Status(Phase.RUNNING, 77, 2.5, 3))
        os.kill(os.getpid(), signal.SIGKILL)

    with forked(work) as pid:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert board.read() == Status(Phase.RUNNING, 77, 2.5, 3)


def test_half_a_status_of_a_worker_that_was_killed_is_read_at_last(board):
    board.write(*Status(Phase.RUNNING, 77, 2.5, 3))
    # It came no further than to write beside the last one.
    os.pwrite(board.fd, b"\xff" * 24, 8)
    assert board.read() == Status(Phase.RUNNING, 77, 2.5, 3)
    board.write(*Status(Phase.WAITING))
    assert board.read() == Status(Phase.WAITING)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="takes two processors")
def test_no_status_is_a_mixture_of_two_nor_older_than_the_last(board):
    def work() -> None:
        number = 0
        while True:
            number += 1
            board.write(
                *Status(Phase(number % 6), number % 2**32, float(number), number)
            )

    with forked(work):
        wait_until(lambda: board.read().began)
        last = 0
        for _ in range(100_000):
            phase, child, since, began = board.read()
            assert (phase, child, since) == (began % 6, began, began)
            assert began >= last
            last = began


def test_runs_are_counted(board):
    run_in_child(lambda: [board.count(*Tally(n, n // 3)) for n in range(1, 11)])
    assert board.counted() == Tally(done=10, failed=3)


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
    one = Board.create()
    try:
        one.limit(pid, limits)
        assert one.limits_of(pid) == limits
        assert one.limits_of(pid + 1) is None
    finally:
        one.close()


def test_what_earlier_jobs_of_a_child_have_used_is_told_of_that_child_alone(board):
    board.limit(5, Limits(60.0), used=2.5)
    assert board.used_before(5) == 2.5
    assert board.used_before(6) == 0.0


def test_a_limit_of_nothing_is_not_the_same_as_none_given(board):
    board.limit(5, Limits(0.0, 0))
    assert board.limits_of(5) == Limits(0.0, 0)
    board.limit(5, UNLIMITED)
    assert board.limits_of(5) == UNLIMITED


def test_the_limits_are_those_of_the_last_child_alone(board):
    def job(limits: Limits) -> int:
        with forked(lambda: board.limit(os.getpid(), limits)) as pid:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        return pid

    first = job(Limits(1.0, 10))
    assert board.limits_of(first) == Limits(1.0, 10)
    second = job(Limits(2.0, None))
    assert board.limits_of(second) == Limits(2.0, None)
    assert first == second or board.limits_of(first) is None


def test_more_memory_than_there_is_can_be_told(board):
    board.limit(5, Limits(None, 1 << 63))
    found = board.limits_of(5)
    assert found is not None
    assert found.memory


@pytest.mark.parametrize("cause", Cause)
def test_a_child_learns_why_it_is_terminated(board, cause):
    # Whatever was said to the one before it.
    board.give_cause(Cause.MEMORY)
    board.give_cause(cause)

    def job() -> None:
        assert board.cause() is cause

    run_in_child(job)


def test_what_is_told_of_one_thing_leaves_the_others_alone(board):
    status = Status(Phase.RUNNING, 2**32 - 1, -1.0, 2**63 - 1)
    tally, limits = Tally(2**64 - 1, 2**64 - 1), Limits(1e308, 2**63 - 1)
    tellings = [
        lambda: board.write(*status),
        lambda: board.count(*tally),
        lambda: board.limit(4_194_304, limits),
        lambda: board.give_cause(Cause.MEMORY),
        board.clear_stack,
    ]
    # In either order, so that whatever spilt over would be seen.
    for told in (tellings, reversed(tellings)):
        for tell in told:
            tell()
        assert board.read() == status
        assert board.counted() == tally
        assert board.limits_of(4_194_304) == limits
        assert board.cause() is Cause.MEMORY
        assert board.stack() == ()


# Stacks


@contextmanager
def worker(board: Board, job: Callable[[], object]) -> Iterator[int]:
    """Run a job in a child whose stacks go to the board; answer once it is ready."""
    reader, writer = os.pipe()

    def main() -> None:
        board.take_stacks()
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


def take_stack(board: Board, pid: int) -> tuple[str, ...]:
    """Have a process write its stack, and return it when all of it is there."""
    os.kill(pid, STACK)
    wait_until(lambda: any("<module>" in line for line in board.stack()))
    return board.stack()


def stack_in(
    board: Board, pid: int, *functions: Callable[[], object]
) -> tuple[str, ...]:
    """Return a process's stack, once it has come as far as these functions."""

    def taken() -> tuple[str, ...] | None:
        board.clear_stack()
        text = "\n".join(stack := take_stack(board, pid))
        return stack if all(f" in {f.__name__}" in text for f in functions) else None

    return wait_until(taken, what="the stack of what it waits in")


@pytest.mark.parametrize("job", [wait_for_ever, keep_the_interpreter_to_itself])
def test_a_process_writes_its_stack_whatever_it_does(board, job):
    board.write(*Status(Phase.RUNNING, 5, 1.5, 9))
    with worker(board, job) as pid:
        stack = stack_in(board, pid, job)
    assert "most recent call first" in stack[0]
    assert f" in {job.__name__}" in stack[1]
    assert board.read() == Status(Phase.RUNNING, 5, 1.5, 9)


def test_all_threads_of_a_job_are_in_the_stack(board):
    def two_at_once() -> None:
        # The second is daemonic: nobody waits for it.
        threading.Thread(target=wait_in_a_thread, daemon=True).start()
        wait_for_ever()

    with worker(board, two_at_once) as pid:
        stack = stack_in(board, pid, wait_for_ever, wait_in_a_thread)
    assert sum("most recent call first" in line for line in stack) == 2


def test_a_child_writes_where_its_worker_would(board):
    def fork_and_wait() -> None:
        with forked(wait_for_ever) as child:
            board.write(*Status(Phase.RUNNING, child))
            wait_for_ever()

    with worker(board, fork_and_wait):
        child = wait_until(lambda: board.read().child)
        try:
            stack = stack_in(board, child, wait_for_ever)
        finally:
            os.kill(child, signal.SIGKILL)
    assert " in wait_for_ever" in stack[1]


def test_stacks_that_were_cleared_make_room_for_others(board):
    with worker(board, wait_for_ever) as pid:
        first = stack_in(board, pid, wait_for_ever)
        board.clear_stack()
        assert board.stack() == ()
        assert take_stack(board, pid) == first
    assert os.fstat(board.fd).st_size > PAGE


def test_stacks_that_were_not_cleared_stand_one_behind_the_other(board):
    with worker(board, wait_for_ever) as pid:
        first = stack_in(board, pid, wait_for_ever)
        os.kill(pid, STACK)
        wait_until(lambda: len(board.stack()) == 2 * len(first))
        assert board.stack() == first + first


def test_a_stack_that_nobody_asked_for_leaves_the_page_alone(board):
    board.write(*Status(Phase.RUNNING, 5, 1.5, 9))
    with worker(board, wait_for_ever) as pid:
        os.kill(pid, STACK)
        # Wherever it goes to.
        wait_until(lambda: b"<module>" in os.pread(board.fd, 1 << 16, 0))
    assert board.read() == Status(Phase.RUNNING, 5, 1.5, 9)
    assert "most recent call first" in board.stack()[0]


def test_of_endless_stacks_the_beginning_is_read(board):
    board.clear_stack()
    os.pwrite(board.fd, b"File x, line 1\n" * 100_000, PAGE)
    stack = board.stack()
    assert set(stack[:-1]) == {"File x, line 1"}
    assert 60_000 < len("\n".join(stack)) <= 64 << 10


def test_names_in_no_encoding_do_not_spoil_a_stack(board):
    board.clear_stack()
    os.pwrite(board.fd, b"File \xff.py, line 1\nFile y", PAGE)
    assert board.stack() == ("File \ufffd.py, line 1", "File y")


# Its end


def test_a_board_is_given_up_by_one_process_and_goes_on_in_another(board):
    run_in_child(board.close)
    board.write(*Status(Phase.WAITING, since=2.0))
    assert board.read() == Status(Phase.WAITING, since=2.0)


def test_a_board_that_was_given_up_leaves_no_descriptor(board):
    board.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(board.fd)


def test_programs_that_a_job_starts_do_not_get_the_board(board):
    assert not os.get_inheritable(board.fd)
