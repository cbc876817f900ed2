"""Recurring jobs as they stand in Redis: their last ticks, and what people say of them.

Used by masters, which enqueue the ticks, and by commands. A tick is in seconds since
the epoch. All methods raise StoreError if Redis does not answer or refuses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from resqued.store.connection import Link, Word
from resqued.store.script import Script
from resqued.wire import timestamps
from resqued.wire.keys import Keys

TICK = Script("tick")
REGISTER_SCHEDULE = Script("register_schedule")

# Elements of a queue that are looked at for an equal job, and records in one reply.
_DEPTH = 10_000
_PAGE = 500
# A time as tick.lua and register_schedule.lua write it.
_TIME = re.compile(rb"0|[1-9][0-9]{0,11}")


class ScheduleState(Struct, frozen=True):
    """What Redis has of a recurring job.

    `definition` is JSON. `last` is the last tick that was dealt with, None for none;
    `last_enqueued` the text of the time at which a job was enqueued; "" for never.
    """

    definition: bytes
    last: int | None
    is_enabled: bool
    last_enqueued: str


class RecurringJobs:
    """The recurring jobs of one Redis and namespace."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def register(self, definitions: Mapping[str, str], now: int) -> None:
        """Publish what this master knows; what is new or changed begins at `now`.

        So does what has no last tick, because the server has lost it.
        """
        keys = (self._keys.schedules, self._keys.last_ticks)
        calls = [(keys, (str(now), *entry)) for entry in definitions.items()]
        REGISTER_SCHEDULE.each(self._link, calls)

    def last_ticks(self, names: Sequence[str]) -> dict[str, int]:
        """Return the last ticks of those names that have one.

        What is no time is left out; `register` replaces it.
        """
        found = self._link.call("HMGET", self._keys.last_ticks, *names)
        return {
            name: int(last)
            for name, last in zip(names, found, strict=True)
            if last is not None and _TIME.fullmatch(last)
        }

    def clock(self) -> float:
        """Return the server's clock, in seconds since the epoch."""
        seconds, micros = self._link.call("TIME")
        return int(seconds) + int(micros) / 1e6

    def tick(
        self, name: str, last: int, new: int, job: tuple[str, str] | None, count: int
    ) -> str:
        """Deal with the ticks up to `new`, if the last one is still `last`.

        `job` is queue and payload, enqueued `count` times; None enqueues nothing.
        Returns enqueued, skipped, or changed if another master was first.
        """
        queue, text = job or ("", "")
        keys = self._keys
        names = (
            keys.last_ticks,
            keys.queues,
            keys.queue(queue),
            keys.last_enqueued_at,
            keys.disabled_schedules,
        )
        at = timestamps.started(new)
        args = (name, str(last), str(new), text, queue, str(count), at)
        state, _ = TICK(self._link, names, args)
        return str(state.decode())

    def is_underway(self, queue: str, text: str) -> bool:
        """Return True if an equal job waits in the queue, or a worker has it."""
        keys, raw = self._keys, text.encode()
        # The queue first: a job moves from there to a worker, in one step.
        place = self._link.call("LPOS", keys.queue(queue), text, "MAXLEN", _DEPTH)
        if place is not None:
            return True
        ids = [
            member.decode("utf-8", "surrogateescape")
            for member in self._link.members(keys.workers)
        ]
        for start in range(0, len(ids), _PAGE):
            records = self._link.read_each(
                [("GET", keys.worker(i)) for i in ids[start : start + _PAGE]]
            )
            if any(record and raw in record for record in records):
                return True
        return False

    def dynamic(self) -> dict[str, bytes]:
        """Return the dynamic schedules of resque-scheduler, as JSON by name."""
        return self._hash(self._keys.persistent_schedules)

    def _hash(self, key: str) -> dict[str, bytes]:
        names = self._link.call("HKEYS", key)
        values = self._link.call("HMGET", key, *names) if names else []
        return {
            name.decode("utf-8", "surrogateescape"): value
            for name, value in zip(names, values, strict=True)
            if value is not None
        }

    def states(self) -> dict[str, ScheduleState]:
        """Return all recurring jobs that any master has published, by name, sorted."""
        definitions = self._hash(self._keys.schedules)
        names = sorted(definitions)
        if not names:
            return {}
        last = self.last_ticks(names)
        at = self._hash(self._keys.last_enqueued_at)
        off = self._link.members(self._keys.disabled_schedules)
        return {
            name: ScheduleState(
                definitions[name],
                last.get(name),
                name.encode("utf-8", "surrogateescape") not in off,
                at.get(name, b"").decode("utf-8", "replace"),
            )
            for name in names
        }

    def enable(self, name: str) -> bool:
        """Have its ticks enqueued again, from the next on; False if they were."""
        return bool(self._link.call("SREM", self._keys.disabled_schedules, name))

    def disable(self, name: str) -> bool:
        """Have none of its ticks enqueued; False if that was so."""
        return bool(self._link.call("SADD", self._keys.disabled_schedules, name))

    def remove(self, name: str) -> bool:
        """Forget a recurring job; a master that has it publishes it again."""
        removed, *_ = self._link.pipeline(self._removal(name))
        return bool(removed)

    def remove_dynamic(self, name: str) -> bool:
        """Remove a dynamic schedule of resque-scheduler, which reads it again.

        Returns False if there was none.
        """
        keys = self._keys
        removed, *_ = self._link.pipeline(
            [
                ("HDEL", keys.persistent_schedules, name),
                ("SADD", keys.changed_schedules, name),
                *self._removal(name),
            ]
        )
        return bool(removed)

    def _removal(self, name: str) -> list[tuple[Word, ...]]:
        keys = self._keys
        return [
            ("HDEL", keys.schedules, name),
            ("HDEL", keys.last_ticks, name),
            ("HDEL", keys.last_enqueued_at, name),
            ("SREM", keys.disabled_schedules, name),
        ]
