"""The states of tasks, and who may pass them orders."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from resqued.core.roles import capabilities
from resqued.core.task_state import (
    ABANDONED,
    ABANDONED_AFTER,
    ACTIVE,
    DONE,
    FAILED,
    KINDS,
    PAUSED,
    RUNNING,
    STOPPED,
    TaskRecord,
    may_order,
    pause_after,
)

TASK = TaskRecord("1", "retry", state=RUNNING, user="anna", beat=100.0)


@pytest.mark.parametrize("state", [*ACTIVE, DONE, STOPPED, FAILED])
def test_only_an_active_task_without_a_beat_is_abandoned(state: str) -> None:
    task = replace(TASK, state=state)
    assert task.at(100.0 + ABANDONED_AFTER).state == state
    later = task.at(101.0 + ABANDONED_AFTER)
    assert later.state == (ABANDONED if state in ACTIVE else state)
    assert later.is_active == (state in ACTIVE)


@pytest.mark.parametrize(
    ("state", "wanted", "orders"),
    [
        (RUNNING, "run", ("pause", "stop")),
        (RUNNING, "pause", ("run", "stop")),
        (PAUSED, "pause", ("run", "stop")),
        (ABANDONED, "run", ("go_on", "stop")),
        (DONE, "run", ()),
    ],
)
def test_the_orders_that_make_sense(
    state: str, wanted: str, orders: tuple[str, ...]
) -> None:
    assert replace(TASK, state=state, wanted=wanted).orders == orders


@pytest.mark.parametrize(
    ("kind", "user", "role", "may"),
    [
        ("retry", "anna", "operator", True),
        ("retry", "ben", "operator", False),
        ("retry", "ben", "admin", True),
        ("retry", "anna", "viewer", False),
        ("search", "anna", "viewer", True),
        ("search", "ben", "viewer", False),
    ],
)
def test_the_tasks_of_others_need_an_administrator(
    kind: str, user: str, role: str, *, may: bool
) -> None:
    assert may_order(replace(TASK, kind=kind), user, capabilities(role)) == may


@pytest.mark.parametrize(
    ("changed", "rate", "took", "pause"),
    [
        (100, 0, 0.0, 0.0),
        (100, 0, 0.02, 0.02),
        (100, 0, 5.0, 0.1),
        (100, 200, 0.1, 0.4),
        (100, 200, 2.0, 0.0),
        (0, 5, 0.1, 0.0),
    ],
)
def test_a_step_is_followed_by_a_pause(
    changed: int, rate: int, took: float, pause: float
) -> None:
    assert pause_after(changed, rate, took) == pytest.approx(pause)


def test_how_much_is_done() -> None:
    assert replace(TASK, judged=5, total=20).share == 0.25
    assert replace(TASK, judged=5, total=20, state=DONE).share == 1.0
    assert replace(TASK, judged=5, total=20, state=STOPPED).share == 0.25
    assert TASK.share == 0.0


def test_every_kind_has_words() -> None:
    assert all(kind.title and kind.past for kind in KINDS.values())
    assert TASK.about is KINDS["retry"]
