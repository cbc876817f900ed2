"""Starts tasks and passes orders to them: what is too long for a request.

Each runs in a thread of the process that was asked; every process shows it and may
order it to pause, to continue and to stop.
"""

from __future__ import annotations

import atexit
import os
import weakref
from collections.abc import Mapping
from typing import cast

from flask import abort, current_app
from msgspec.structs import replace

from resqued.core.task_state import (
    ABANDONED,
    GO_ON,
    KINDS,
    PAUSE,
    RUN,
    STOP,
    STOPPED,
    WAITING,
    TaskRecord,
    may_order,
)
from resqued.errors import ResquedError, StoreError
from resqued.store.task_records import TaskRecords
from resqued.web import audit
from resqued.web.failure_choice import (
    EXPECTED,
    RATE,
    SEES_ARGS,
    UP_TO,
    bounds_of,
    bounds_text,
    filter_of,
    in_words,
    sees_args,
)
from resqued.web.identity import current_user
from resqued.web.site import Site, site
from resqued.web.task_kinds import NEEDED
from resqued.web.task_runner import TaskRun, new_runner

_NAME = "resqued-tasks"
_MOST = 1_000_000
# How long the end of the process waits for a task to put back what it has in hand.
_PATIENCE = 3.0
# Each search is a thread that reads all failures, and a viewer may start one.
_MOST_SEARCHES = 8


class Tasks:
    """The tasks of a site, and the threads of those that run in this process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.records = TaskRecords(site.client.registry.link, site.keys)
        self._runs: dict[str, TaskRun] = {}
        atexit.register(_leave, weakref.ref(self))

    def start(self, by: audit.Author, task: TaskRecord) -> None:
        """Run a task in a thread of this process."""
        self._runs = {name: run for name, run in self._runs.items() if run.is_alive()}
        run = self._runs[task.id] = TaskRun(by, task)
        run.start()

    def own(self, task_id: str) -> TaskRecord | None:
        """Return what this process knows of a task, if it runs it."""
        run = self._runs.get(task_id)
        return run.task if run and run.is_alive() else None

    def searches(self) -> int:
        """Return how many searches continue in this process, or are paused."""
        runs = list(self._runs.values())
        return sum(run.is_alive() and run.task.kind == "search" for run in runs)

    def leave(self) -> None:
        """End the threads: the tasks count as abandoned, and can continue elsewhere."""
        runs = list(self._runs.values())
        for run in runs:
            run.leave()
        for run in runs:
            run.join(_PATIENCE)


def _leave(found: weakref.ref[Tasks]) -> None:
    if tasks := found():
        tasks.leave()


def tasks() -> Tasks:
    """Return the tasks of the current application."""
    found = current_app.extensions.get(_NAME)
    if found is None:
        found = current_app.extensions.setdefault(_NAME, Tasks(site()))
    return cast("Tasks", found)


def start(kind: str, choice: Mapping[str, str]) -> str:
    """Start a task as the present user; return its id, for `tasks.show`.

    `choice` says what it works on. Failures: the filter in the words of the URL
    (`class`, `queue`, `exception`, …), and `up_to`, the end of the lists as they were
    seen; without it, their present end. dequeue_class: `queue` and `class`. move_queue:
    `queue` and `to`. remove_queue: `queue`. All: `rate`, the most elements a second;
    `expected`, how many there will be. The route must have checked the capability.
    Raises ResquedError if the choice is not valid, StoreError if Redis fails.
    """
    about, user = KINDS[kind], current_user()
    values = _checked(kind, dict(choice))
    own = tasks()
    if kind == "search" and own.searches() >= _MOST_SEARCHES:
        abort(429, f"{_MOST_SEARCHES} searches run: stop one on the page Tasks")
    now = own.records.now()
    task = TaskRecord(
        id=os.urandom(8).hex(),
        kind=kind,
        choice=values,
        words=_words(kind, values),
        user=user.name if user else "",
        rate=_number(values.pop(RATE, "")),
        expected=_number(values.pop(EXPECTED, "")),
        began=now,
        beat=now,
        runner=new_runner(),
    )
    own.records.add(task)
    if about.is_bulk:
        audit.record(
            kind,
            f"task {task.id}: {task.words}",
            count=task.expected,
            result="started",
        )
    own.start(audit.author(), task)
    return task.id


def find(task_id: str) -> TaskRecord:
    """Return a task; abort with 404 if it is not known.

    While Redis is away, what this process knows of its own task; else StoreError.
    """
    try:
        found = tasks().records.get(task_id)
    except StoreError:
        if (own := tasks().own(task_id)) is None:
            raise
        return own
    if found is None:
        abort(404, f"there is no task {task_id[:40]!r}: they are kept for a day")
    return found


def may_order_now(task: TaskRecord) -> bool:
    """Return True if the present user may pass orders to a task."""
    user = current_user()
    if user is None or site().settings.read_only:
        return False
    return may_order(task, user.name, user.capabilities)


def order(task: TaskRecord, wanted: str) -> None:
    """Pass an order of the present user to a task; abort with 403 or 409 if it cannot.

    An abandoned task continues in this process.
    """
    if not may_order_now(task):
        whose = task.user or "somebody"
        abort(403, f"the task is that of {whose}: only an administrator may do that")
    if wanted not in task.orders:
        abort(409, f"the task is {task.state}: it cannot do that any more")
    own = tasks()
    if task.state == ABANDONED:
        _take_over(own, task, is_stop=wanted == STOP)
    else:
        own.records.order(task.id, wanted)
    target = f"task {task.id}: {task.words}"
    audit.record(_VERBS[wanted], target, count=task.done, result=task.state)


_VERBS = {PAUSE: "pause", RUN: "resume", STOP: "stop", GO_ON: "continue"}


def _take_over(own: Tasks, task: TaskRecord, *, is_stop: bool) -> None:
    """Continue with a task whose process is dead, or end it: once for all requests."""
    now = own.records.now()
    changed = replace(
        task,
        state=STOPPED if is_stop else WAITING,
        wanted=RUN,
        runner=new_runner(),
        beat=now,
        ended=now if is_stop else 0.0,
    )
    names = ("state", "wanted", "runner", "beat", "ended")
    written = own.records.write(changed, by=task.runner, names=names, has_turn=False)
    if written is None:
        abort(409, "another process continues with the task already")
    if not is_stop:
        own.start(audit.author(), changed)


def _checked(kind: str, values: dict[str, str]) -> dict[str, str]:
    """Return a choice that is complete; raise ResquedError if it cannot be."""
    for name in NEEDED.get(kind, ()):
        if name not in values:
            raise ResquedError(f"{KINDS[kind].title}: {name} is missing")
    if kind in NEEDED:
        if kind == "move_queue" and values["queue"] == values["to"]:
            raise ResquedError(f"the jobs are on the queue {values['to']!r} already")
        return values
    values[SEES_ARGS] = "1" if sees_args() else "0"
    which = filter_of(values, site(), sees_args=sees_args())
    if kind == "search":
        return values
    if UP_TO in values:
        bounds_of(values)
    else:
        values[UP_TO] = bounds_text(site().client.failures.seen(which))
    return values


def _words(kind: str, values: Mapping[str, str]) -> str:
    if kind == "dequeue_class":
        return f"jobs of the class {values['class']} on the queue {values['queue']}"
    if kind == "move_queue":
        return f"jobs of the queue {values['queue']} to the queue {values['to']}"
    if kind == "remove_queue":
        return f"the queue {values['queue']} with its jobs"
    return in_words(values)


def _number(text: str) -> int:
    if text and (not text.isascii() or not text.isdecimal() or int(text[:9]) > _MOST):
        raise ResquedError(f"{text[:40]!r} must be a number from 0 to {_MOST:,}")
    return int(text[:9] or 0)
