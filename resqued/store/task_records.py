"""The records of tasks of the web front end, as Redis has them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from resqued.core.task_state import KINDS, TaskRecord
from resqued.store.connection import Link, Word
from resqued.store.script import Script
from resqued.wire.keys import Keys

WRITE = Script("web_task")

# How long a record is kept after its last change, in seconds; how many are listed.
KEPT_FOR = 86_400
KEPT = 200
# How long the turn of a task lasts without a beat, in seconds.
TURN = 15.0
# The most hits of a search that are kept.
MOST_HITS = 1_000


class Answer(Struct, frozen=True):
    """What a beat has found: the last order, and whether the task has the turn."""

    wanted: str
    has_turn: bool


class TaskRecords:
    """Reads and writes the records of one namespace. Methods raise StoreError."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def now(self) -> float:
        """Return the clock of the server, which all processes share."""
        return self._link.time()

    def add(self, record: TaskRecord) -> None:
        """Write a new task; of the older ones, only the last are listed."""
        key, listed = self._keys.web_task(record.id), self._keys.web_tasks
        self._link.pipeline(
            [
                ("HSET", key, *_words(_texts(record))),
                ("EXPIRE", key, KEPT_FOR),
                ("ZADD", listed, record.began, record.id),
                ("ZREMRANGEBYRANK", listed, 0, -KEPT - 1),
            ]
        )

    def write(
        self, record: TaskRecord, *, by: str, names: Iterable[str], has_turn: bool
    ) -> Answer | None:
        """Write some fields of a task; return None if `by` does not run it any more.

        `has_turn` takes or keeps the turn to change long lists, or else gives it up.
        Of the tasks that wait for it, the one that has waited longest takes it.
        """
        texts = _texts(record)
        found = WRITE(
            self._link,
            (self._keys.web_task(record.id), self._keys.web_turn, self._keys.web_line),
            (
                record.id,
                by,
                str(KEPT_FOR),
                "1" if has_turn else "0",
                str(int(TURN * 1000)),
                *map(str, _words({name: texts[name] for name in names})),
            ),
        )
        if not found[0]:
            return None
        return Answer(found[1].decode(), bool(found[2]))

    def order(self, task_id: str, wanted: str) -> None:
        """Leave an order for the process that runs a task."""
        key = self._keys.web_task(task_id)
        self._link.pipeline([("HSET", key, "wanted", wanted), ("EXPIRE", key, 86_400)])

    def get(self, task_id: str) -> TaskRecord | None:
        """Return a task as it is now; None if it is not known any more."""
        found, now = self._link.pipeline(
            [("HGETALL", self._keys.web_task(task_id)), ("TIME",)]
        )
        record = _record(task_id, found)
        return record and record.at(float(now[0]))

    def newest_first(self) -> list[TaskRecord]:
        """Return the tasks that are kept."""
        ids = [
            found.decode("utf-8", "replace")
            for found in self._link.call("ZREVRANGE", self._keys.web_tasks, 0, KEPT - 1)
        ]
        *each, now = self._link.pipeline(
            [*(("HGETALL", self._keys.web_task(one)) for one in ids), ("TIME",)]
        )
        found = [_record(*pair) for pair in zip(ids, each, strict=True)]
        return [record.at(float(now[0])) for record in found if record]

    def add_hits(self, task_id: str, hits: Iterable[str]) -> None:
        """Add what a search has found."""
        texts = list(hits)
        if texts:
            key = self._keys.web_hits(task_id)
            self._link.pipeline([("RPUSH", key, *texts), ("EXPIRE", key, KEPT_FOR)])

    def hits(self, task_id: str, start: int, count: int) -> list[str]:
        """Return some of what a search has found, the newest failures first."""
        key = self._keys.web_hits(task_id)
        found = self._link.call("LRANGE", key, start, start + count - 1)
        return [hit.decode("utf-8", "surrogateescape") for hit in found]

    def forget_hits(self, task_id: str) -> None:
        """Forget what a search has found, before it begins again."""
        self._link.call("DEL", self._keys.web_hits(task_id))


def _texts(record: TaskRecord) -> dict[str, str]:
    values = {each.name: getattr(record, each.name) for each in fields(record)}
    values["choice"] = json.dumps(dict(record.choice))
    return {name: str(value) for name, value in values.items() if name != "id"}


def _words(texts: Mapping[str, str]) -> list[Word]:
    return [word for pair in texts.items() for word in pair]


def _record(
    task_id: str, found: Mapping[bytes, bytes] | list[bytes]
) -> TaskRecord | None:
    """Return the task that a hash describes; None if it is none that we know."""
    pairs = found.items() if isinstance(found, Mapping) else zip(*[iter(found)] * 2)  # noqa: B905 - pairs
    texts = {
        name.decode("utf-8", "replace"): value.decode("utf-8", "replace")
        for name, value in pairs
    }
    if texts.get("kind") not in KINDS:
        return None
    values: dict[str, Any] = {
        each.name: texts[each.name] for each in fields(TaskRecord) if each.name in texts
    }
    try:
        for name, read in _READERS.items():
            if name in values:
                values[name] = read(values[name])
        return TaskRecord(id=task_id, **values)
    except ValueError:
        return None


def _choice(text: str) -> dict[str, str]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("the choice is no object")
    return {str(name): str(value) for name, value in found.items()}


_NUMBERS = ("done", "left_out", "judged", "total", "expected", "rate")
_READERS: Mapping[str, Callable[[str], Any]] = {
    "choice": _choice,
    **dict.fromkeys(_NUMBERS, int),
    **dict.fromkeys(("speed", "began", "beat", "ended"), float),
}
