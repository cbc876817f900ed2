"""The small decisions of core: back-off, escalation, lifecycle, outcome, waking."""

from __future__ import annotations

import signal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.core.backoff import Backoff
from resqued.core.escalation import Escalation, Step
from resqued.core.exit_status import Exit
from resqued.core.lifecycle import TRANSITIONS, Event, State, step
from resqued.core.limits import Cause
from resqued.master import wakeups
from resqued.wire import titles
from resqued.wire.outcome import ChildReport, Termination, frames_of_job, judge
from resqued.wire.payload import (
    DIRTY_EXIT,
    JOB_TIMEOUT,
    MEMORY_LIMIT,
    OUT_OF_MEMORY,
    TERM_EXCEPTION,
    FailureInfo,
)
from resqued.wire.queue_list import parse


def test_backoff_doubles_up_to_its_cap():
    backoff = Backoff(first=0.1, cap=1.0)
    waits = []
    for _ in range(6):
        backoff = backoff.failed(100.0, jitter=0.0)
        waits.append(round(backoff.ready_at - 100.0, 3))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_backoff_starts_afresh_after_a_success():
    backoff = Backoff(first=0.1, cap=1.0).failed(1.0, 0.0).failed(1.0, 0.0)
    assert backoff.succeeded() == Backoff(first=0.1, cap=1.0)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_backoff_never_waits_longer_than_the_cap_nor_much_less(failures, jitter):
    backoff = Backoff(first=0.1, cap=30.0, failures=failures).failed(0.0, jitter)
    full = min(30.0, 0.1 * 2.0 ** min(failures, 32))
    assert 0.49 * full <= backoff.ready_at <= full


def test_escalation_terminates_waits_the_grace_and_kills():
    ending = Escalation(asked_at=10.0, grace=4.0, reason="")
    assert ending.due(10.0) is Step.TERMINATE
    sent = Escalation(10.0, 4.0, "", sent=Step.TERMINATE)
    assert [sent.due(t) for t in (10.0, 13.9, 14.0)] == [
        Step.NOTHING,
        Step.NOTHING,
        Step.KILL,
    ]
    assert Escalation(10.0, 4.0, "", sent=Step.KILL).due(99.0) is Step.NOTHING


def test_without_a_grace_it_kills_at_once():
    assert Escalation(10.0, 0.0, "").due(10.0) is Step.KILL


URGENCY = [State.RUNNING, State.QUITTING, State.TERMINATING, State.STOPPED]


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_a_master_that_stops_never_becomes_less_urgent(state, event):
    assert URGENCY.index(step(state, event)) >= URGENCY.index(state)


@pytest.mark.parametrize(
    ("state", "event"),
    [
        # Every worker may have gone because it was scaled to none.
        (State.RUNNING, Event.EMPTY),
        (State.QUITTING, Event.QUIT),
        (State.TERMINATING, Event.QUIT),
        (State.TERMINATING, Event.TERMINATE),
        *((State.STOPPED, event) for event in Event),
    ],
)
def test_what_a_master_has_done_already_changes_nothing(state, event):
    assert step(state, event) is state


@pytest.mark.parametrize("state", [s for s in State if s is not State.STOPPED])
def test_every_state_reaches_the_end(state):
    for event in (Event.TERMINATE, Event.EMPTY):
        state = step(state, event)
    assert state is State.STOPPED


def test_nothing_leads_out_of_the_end_or_back_to_the_start():
    assert all(before is not State.STOPPED for before, _ in TRANSITIONS)
    assert State.RUNNING not in TRANSITIONS.values()


FAULT = FailureInfo("ValueError", "bad thing", ("a line",))


@pytest.mark.parametrize(
    ("told", "ended", "expected"),
    [
        (ChildReport(), Exit(0), None),
        (ChildReport(), Exit(-9), None),
        (ChildReport(FAULT), Exit(0), FAULT),
        (ChildReport(FAULT), Exit(-11), FAULT),
        (None, Exit(0), None),
        (
            None,
            Exit(3),
            FailureInfo(DIRTY_EXIT, "Child process pid 7 exited with status 3"),
        ),
        (
            None,
            Exit(-9),
            FailureInfo(
                DIRTY_EXIT,
                "Child process received unhandled signal pid 7 SIGKILL (signal 9)",
            ),
        ),
        (
            None,
            Exit(-6, has_core=True),
            FailureInfo(
                DIRTY_EXIT,
                "Child process received unhandled signal pid 7 SIGABRT (signal 6)"
                " (core dumped)",
            ),
        ),
    ],
)
def test_what_the_child_told_counts_and_else_how_it_ended(told, ended, expected):
    assert judge(told, ended, pid=7) == expected


def test_an_unnamed_signal_is_told_by_its_number():
    number = next(n for n in range(34, 64) if n not in {*map(int, signal.Signals)})
    assert str(Exit(-number)) == f"signal {number}"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (Exit(0), "exited with status 0"),
        (Exit(3), "exited with status 3"),
        (Exit(-9), "died of SIGKILL (signal 9)"),
        (Exit(-6, has_core=True), "died of SIGABRT (signal 6) (core dumped)"),
    ],
)
def test_how_a_process_ended_in_words(how, words):
    assert how.in_words == words


def test_the_reason_for_an_ending_stands_in_the_failure():
    dropped = Termination("it was dropped")
    fault = judge(None, Exit(-9), pid=7, reason=dropped)
    assert fault is not None
    assert fault.error.endswith("SIGKILL (signal 9): it was dropped")
    told = ChildReport(FailureInfo(TERM_EXCEPTION, "SIGTERM"))
    fault = judge(told, Exit(0), pid=7, reason=dropped)
    assert fault is not None
    assert fault.error == "SIGTERM: it was dropped"
    assert judge(ChildReport(FAULT), Exit(0), pid=7, reason=dropped) == FAULT


@pytest.mark.parametrize(
    ("cause", "name"), [(Cause.RUNTIME, JOB_TIMEOUT), (Cause.MEMORY, MEMORY_LIMIT)]
)
def test_what_was_exceeded_stands_in_the_failure_with_where_the_job_was(cause, name):
    reason = Termination("too much of it", cause, ("File jobs.py, line 3",))
    assert judge(None, Exit(-9), pid=7, reason=reason) == FailureInfo(
        name,
        "too much of it; child process received unhandled signal pid 7"
        " SIGKILL (signal 9)",
        ("File jobs.py, line 3",),
    )
    # The job itself came to hear of it: its own backtrace says more.
    told = ChildReport(FailureInfo(name, "SIGTERM", ("its traceback",)))
    assert judge(told, Exit(0), pid=7, reason=reason) == FailureInfo(
        name, "too much of it", ("its traceback",)
    )


def test_a_kill_by_the_kernel_for_want_of_memory_is_told_apart():
    fault = judge(None, Exit(-9), pid=7, out_of_memory=True)
    assert fault is not None
    assert fault.exception == OUT_OF_MEMORY
    assert fault.error.endswith("SIGKILL (signal 9): the kernel was out of memory")
    for how in (Exit(-11), Exit(1)):
        fault = judge(None, how, pid=7, out_of_memory=True)
        assert fault is not None
        assert fault.exception == DIRTY_EXIT


STACK = (
    "Current thread 0x1 (most recent call first):",
    '  File "/app/jobs.py", line 3 in perform',
    '  File "/lib/resqued/child.py", line 9 in _attempt',
    '  File "/lib/resqued/zygote.py", line 9 in main',
    '  File "<frozen runpy>", line 88 in _run_code',
)


def test_a_stack_is_that_of_the_job() -> None:
    assert frames_of_job(STACK, "/lib/resqued/") == STACK[:2]


def test_a_failure_says_if_there_is_no_stack() -> None:
    def error(stack: tuple[str, ...], told: ChildReport | None = None) -> str:
        reason = Termination("too long", Cause.RUNTIME, stack)
        fault = judge(told, Exit(-signal.SIGKILL), pid=7, reason=reason)
        return fault.error if fault else ""

    assert error(STACK).startswith("too long; child process received")
    assert "no stack" not in error(STACK)
    assert error(()).endswith("; no stack: no signal was taken")
    assert error((), ChildReport()) == ""


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 5)),
    st.lists(st.sampled_from(["a", "b,a", "*", "c,d", "*,!a"]), max_size=8),
)
def test_one_idle_worker_is_woken_for_each_job_and_no_more(lengths, lists):
    idle = [(number, parse(text)) for number, text in enumerate(lists)]
    named = wakeups.workers_to_wake(lengths, idle)
    woken = [number for number, _ in named]
    for number, names in named:
        assert names
        full = [name for name, size in lengths.items() if size]
        assert names == idle[number][1].match(full)[: len(names)]
    assert len(woken) == len(set(woken)) <= sum(lengths.values())
    asleep = [queues for number, queues in idle if number not in woken]
    left = sum(lengths.values()) - len(woken)
    for queues in asleep:
        served = sum(n for name, n in lengths.items() if queues.serves(name))
        assert served <= len(woken) or not left


@pytest.mark.parametrize(
    "title",
    [
        titles.starting(),
        titles.waiting(("a", "b")),
        titles.paused(),
        titles.forked(1, 2.5),
        titles.processing("q", "Class", 2.5),
        titles.STANDBY,
    ],
)
def test_titles_are_known_to_ruby_as_those_of_workers(title):
    # What a Ruby worker looks for in `ps` before it unregisters its neighbours.
    assert title.startswith("resque-0.")
