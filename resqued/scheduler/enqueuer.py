"""Enqueues recurring jobs at their ticks.

Runs in every master that has schedules: those of its configuration, those that its
application declares, and, if asked for, those that resque-scheduler keeps in Redis.
Masters need no election for it: the server lets one of them move a schedule from its
last tick to the next (store/lua/tick.lua). Without schedules it opens no connection.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from resqued.core.backoff import Backoff
from resqued.core.timings import NEVER
from resqued.errors import StoreError
from resqued.log.logger import Logger
from resqued.scheduler.schedule import Schedule, judge, next_due
from resqued.scheduler.schedule_reader import WrongScheduleError, from_ruby
from resqued.store.connection import SingleLink
from resqued.store.recurring import RecurringJobs
from resqued.store.store_errors import DisconnectedError
from resqued.wire import payload
from resqued.wire.keys import Keys

# Masters do not all ask at once when a tick comes: in seconds.
_SPREAD = 0.25
# How often to read the schedules of resque-scheduler, and to look at all in any case: a
# clock that was set makes ticks come sooner. In seconds.
_LONGEST = 60.0
_DYNAMIC = 5.0


class ScheduleEnqueuer:
    """A part of the master's loop.

    `schedules` returns those that apply; the same tuple for as long as none changes.
    `is_dynamic` is whether those of resque-scheduler apply too.
    """

    def __init__(
        self,
        link: SingleLink,
        keys: Keys,
        schedules: Callable[[], tuple[Schedule, ...]],
        log: Logger,
        *,
        is_dynamic: Callable[[], bool] = lambda: False,
    ) -> None:
        self._link = link
        self._jobs = RecurringJobs(link, keys)
        self._schedules = schedules
        self._is_dynamic = is_dynamic
        self._log = log
        # The schedules that were published, and what they were made of.
        self._applied: tuple[Schedule, ...] = ()
        self._dynamic: dict[str, bytes] = {}
        self._known: dict[str, Schedule] = {}
        self._wrong: set[str] = set()
        self._look_at = 0.0
        self._backoff = Backoff(first=0.1, cap=2.0)
        self._refusal = ""

    def due(self, _now: float) -> float:
        """Return when `turn` has something to do."""
        if self._backoff.failures:
            return self._backoff.ready_at
        if self._applied is not self._schedules():
            return 0.0
        return self._look_at if self._known or self._is_dynamic() else NEVER

    def turn(self, now: float) -> None:
        """Enqueue the ticks that are due."""
        if now < self.due(now):
            return
        try:
            self._look(now)
        except StoreError as error:
            self._lose(error, now)

    def _look(self, now: float) -> None:
        schedules = self._schedules()
        dynamic = self._jobs.dynamic() if self._is_dynamic() else {}
        clock = self._jobs.clock() if schedules or dynamic else 0.0
        if self._applied is not schedules or self._dynamic != dynamic:
            self._publish(schedules, dynamic, int(clock))
            self._applied, self._dynamic = schedules, dynamic
        last = self._jobs.last_ticks(list(self._known)) if self._known else {}
        if len(last) < len(self._known):
            # The server has lost its data, or somebody has removed them.
            self._register(int(clock))
        waits = [
            self._enqueue(schedule, last.get(name, int(clock)), clock)
            for name, schedule in self._known.items()
        ]
        longest = _DYNAMIC if self._is_dynamic() else _LONGEST
        wait = min([*waits, longest])
        self._look_at = now + max(0.0, wait) + random.random() * _SPREAD
        self._backoff, self._refusal = self._backoff.succeeded(), ""

    def _publish(
        self, schedules: tuple[Schedule, ...], dynamic: dict[str, bytes], now: int
    ) -> None:
        self._known = {schedule.name: schedule for schedule in schedules}
        for name, raw in dynamic.items():
            try:
                self._known.setdefault(name, from_ruby(name, raw))
            except WrongScheduleError as error:
                if name not in self._wrong:
                    self._wrong.add(name)
                    self._log.error("schedule_wrong", name=name, reason=str(error))
        if self._known:
            self._register(now)

    def _register(self, now: int) -> None:
        known = self._known.items()
        self._jobs.register({name: json.dumps(s.as_dict()) for name, s in known}, now)

    def _enqueue(self, schedule: Schedule, last: int, clock: float) -> float:
        """Enqueue what is due; return the seconds until the next tick."""
        ticks, new = judge(schedule, last, int(clock))
        if new != last:
            text = payload.encode_job(schedule.class_name, schedule.args)
            count = len(ticks)
            if ticks and not schedule.overlap:
                count = 0 if self._jobs.is_underway(schedule.queue, text) else 1
            job = (schedule.queue, text) if count else None
            state = self._jobs.tick(schedule.name, last, new, job, count)
            if state == "changed":
                return 0.0
            about = {"name": schedule.name, "queue": schedule.queue}
            if new < last:
                self._log.warning("schedule_rewound", last=last, **about)
            elif state == "enqueued":
                self._log.info("schedule_enqueued", jobs=count, **about)
            else:
                self._log.debug("schedule_skipped", **about)
        due = next_due(schedule, new)
        return NEVER if due is None else due - clock

    def use(self, url: str) -> None:
        """Close the connection; the next turn opens one for this URL."""
        self._link.use(url)

    def close(self) -> None:
        """Close the connection; the next turn opens another."""
        self._link.close()

    def _lose(self, error: StoreError, now: float) -> None:
        # Other parts of the master log that Redis is away.
        self._link.close()
        self._backoff = self._backoff.failed(now, random.random())
        reason = str(error)
        if not isinstance(error, DisconnectedError) and reason != self._refusal:
            self._refusal = reason
            self._log.error("scheduler_failed", reason=reason)
