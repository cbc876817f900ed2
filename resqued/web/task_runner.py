"""Runs one task in a thread: its steps, its beat, and the orders that it finds.

The thread belongs to no request. What it must not do: keep what it knows to itself; it
writes its record each second, and another process continues with it when this one dies.
"""

from __future__ import annotations

import os
import random
import threading
import time
from contextlib import closing

from msgspec.structs import replace

from resqued.core.backoff import Backoff
from resqued.core.plural import pluralize
from resqued.core.task_state import (
    AWAY,
    DONE,
    FAILED,
    PAUSE,
    PAUSED,
    RUN,
    RUNNING,
    STOP,
    STOPPED,
    WAITING,
    TaskRecord,
    pause_after,
)
from resqued.errors import ResquedError, StoreError
from resqued.log import logger
from resqued.store.bulk import BulkProgress
from resqued.store.task_records import TaskRecords
from resqued.web.audit import Author, record_of
from resqued.web.task_kinds import STEPS

# How often a task writes its record and looks for orders, in seconds.
BEAT = 1.0
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0
_BEATEN = (
    "state", "done", "left_out", "problem", "judged", "total", "speed", "beat",
    "error", "ended",
)  # fmt: skip


class TaskLostError(Exception):
    """Another process runs the task now, or it is not known any more."""


class TaskOrderedError(Exception):
    """A user wants the task to pause or to stop."""


class TaskRun(threading.Thread):
    """One thread that runs a task until it has ended."""

    def __init__(self, by: Author, task: TaskRecord) -> None:
        super().__init__(name=f"task {task.kind}", daemon=True)
        self.task = task
        """The task as this process knows it."""
        self._by = by
        self._site = by.site
        self._records = TaskRecords(by.site.client.registry.link, by.site.keys)
        self._ending = threading.Event()
        self._wanted = RUN
        self._before = task.done
        self._beat_at = 0.0
        self._speed_from = (time.monotonic(), task.done)
        self._backoff = Backoff(_FIRST_WAIT, _LONGEST_WAIT)

    def run(self) -> None:
        """Run the task; never raises."""
        try:
            self._run()
        except TaskLostError:
            # Another process continues with it, or will.
            pass
        except ResquedError as error:
            self._end(FAILED, str(error))
        except Exception as error:
            path, request = f"/tasks/{self.task.id}", self._by.request_id
            logger.get().error(
                "web_error", path=path, request_id=request, exc_info=error
            )
            self._end(FAILED, f"{type(error).__name__}; the log says more")

    def leave(self) -> None:
        """Have the thread put back what it has in hand, and end; the process ends."""
        self._ending.set()

    def _run(self) -> None:
        while True:
            try:
                self._take_turn()
                self._work()
                return self._end(DONE)
            except TaskOrderedError:
                if self._wanted == STOP:
                    return self._end(STOPPED)
                if self._wait_paused() == STOP:
                    return self._end(STOPPED)
            except StoreError as error:
                self._wait_for_redis(str(error))
                if self._wanted == STOP:
                    return self._end(STOPPED, str(error))

    def _work(self) -> None:
        """Do the steps from the start; what was done before is not found again."""
        self._before = self.task.done
        self.task = replace(self.task, state=RUNNING, judged=0, left_out=0)
        self._beat(now=True)
        steps = STEPS[self.task.kind](self._site, self.task)
        with closing(steps):
            began, changed = time.monotonic(), 0
            for progress in steps:
                self._note(progress)
                self._beat()
                if self.task.about.is_bulk:
                    took = time.monotonic() - began
                    made = progress.changed - changed
                    self._rest(pause_after(made, self.task.rate, took))
                began, changed = time.monotonic(), progress.changed

    def _note(self, progress: BulkProgress) -> None:
        self.task = replace(
            self.task,
            done=progress.changed + self._done_before(progress),
            left_out=progress.left_out,
            problem=progress.problem,
            judged=progress.judged,
            total=progress.total,
            error="",
        )
        self._backoff = self._backoff.succeeded()

    def _done_before(self, progress: BulkProgress) -> int:
        """Return how many elements the task had changed before it died."""
        if self.task.kind == "search":
            return 0  # it begins again
        if self.task.kind == "retry" and self._before:
            # Those are found again, also what came after the last record.
            return progress.done_before
        return self._before

    def _take_turn(self) -> None:
        """Wait until no other task changes long lists."""
        self.task = replace(self.task, state=WAITING)
        while not self._beat(now=True) and self.task.about.is_bulk:
            self._rest(BEAT)

    def _wait_paused(self) -> str:
        """Wait until the task may continue, or has to stop; return the order."""
        self.task = replace(self.task, state=PAUSED, speed=0.0)
        while self._wanted == PAUSE:
            try:
                self._beat(now=True, obeys=False)
            except StoreError as error:
                self.task = replace(self.task, error=str(error))
            self._rest(BEAT)
        return self._wanted

    def _wait_for_redis(self, problem: str) -> None:
        """Wait longer after each failure in a row; a user may stop the task then."""
        self._backoff = self._backoff.failed(time.monotonic(), random.random())
        self.task = replace(self.task, state=AWAY, error=problem, speed=0.0)
        while (rest := self._backoff.ready_at - time.monotonic()) > 0:
            try:
                self._beat(obeys=False)
            except StoreError:
                self._beat_at = time.monotonic()
            self._rest(min(rest, BEAT))

    def _rest(self, seconds: float) -> None:
        """Wait; raise TaskLostError if the process ends."""
        if self._ending.wait(seconds):
            raise TaskLostError

    def _beat(self, *, now: bool = False, obeys: bool = True) -> bool:
        """Write the record if it is due; return True if the task has the turn.

        Raises TaskLostError if another runs the task; TaskOrderedError if it has to
        pause or stop, unless `obeys` is False.
        """
        if not now and time.monotonic() - self._beat_at < BEAT:
            return True
        self._beat_at = time.monotonic()
        since, done = self._speed_from
        if self._beat_at - since >= BEAT:
            speed = (self.task.done - done) / (self._beat_at - since)
            self.task = replace(self.task, speed=max(0.0, speed))
            self._speed_from = self._beat_at, self.task.done
        self.task = replace(self.task, beat=self._records.now())
        works = self.task.state in (WAITING, RUNNING, AWAY) and self.task.about.is_bulk
        answer = self._records.write(
            self.task, by=self.task.runner, names=_BEATEN, has_turn=works
        )
        if answer is None:
            raise TaskLostError
        self._wanted = answer.wanted
        if obeys and self._wanted in (PAUSE, STOP):
            raise TaskOrderedError
        return answer.has_turn

    def _end(self, state: str, error: str = "") -> None:
        """Write how the task has ended, as soon as Redis is there."""
        self.task = replace(self.task, state=state, error=error, speed=0.0)
        while True:
            try:
                at = self._records.now()
                self.task = replace(self.task, ended=at, beat=at)
                runner = self.task.runner
                if self._records.write(
                    self.task, by=runner, names=_BEATEN, has_turn=False
                ):
                    self._record_end()
                return
            except StoreError:
                if self._ending.wait(BEAT):
                    return

    def _record_end(self) -> None:
        task = self.task
        if task.about.is_bulk:
            result = (
                f"{task.state}: {pluralize(task.done, 'element')} {task.about.past}"
            )
            if task.left_out:
                result += f", {task.left_out} left out ({task.problem})"
            if task.error:
                result += f"; {task.error}"
            target = f"task {task.id}: {task.words}"
            record_of(self._by, task.kind, target, count=task.done, result=result)


def new_runner() -> str:
    """Return a name for a thread that runs a task, of this process alone."""
    return f"{os.getpid()}-{os.urandom(6).hex()}"
