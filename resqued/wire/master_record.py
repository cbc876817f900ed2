"""The record of a master in Redis: who it is, what it serves, and in which state.

The value of `resqued:master:<id>`, JSON, for programs on any host that show masters.
It holds no secret: no URL, no argument, nothing of the environment.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

# How many seconds a record lives unless its master writes it again.
LIFETIME = 180


class RecordedReload(msgspec.Struct, frozen=True, kw_only=True):
    """The last reload of a master.

    `at` is when it ended, in seconds after the epoch. `outcome` is `done` or `failed`,
    `error` why it failed.
    """

    at: float
    outcome: str
    error: str = ""


class RecordedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a pool: seconds and bytes; None if the pool sets none, 0: none."""

    runtime: float | None = None
    memory: int | None = None


class RecordedPool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of a master.

    `name` is the queue list as it is written, with exclusions; `queues` are its names
    and patterns, in order. `wanted` is how many workers the pool is to have, and `live`
    how many are registered.
    """

    name: str
    queues: tuple[str, ...]
    exclusions: tuple[str, ...] = ()
    wanted: int
    live: int
    limits: RecordedLimits = RecordedLimits()


class MasterRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A master, as it serves one namespace.

    `since` is when its program started and `at` when the record was written, both in
    seconds after the epoch by the clock of its host. `hidden_user` is the user that it
    runs as: commands of other users do not find its control socket. `instance` is its
    name as an instance of resqued@.service; "" if it is none.
    """

    id: str
    host: str
    pid: int
    version: str
    since: float
    at: float
    state: str
    is_paused: bool = msgspec.field(name="paused")
    generation: int
    last_reload: RecordedReload | None = None
    pools: tuple[RecordedPool, ...] = ()
    hidden_user: str = ""
    instance: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON has it."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def master_id(host: str, pid: int) -> str:
    """Return the id of a master; `host` is that of worker ids, without colons."""
    return f"{host}:{pid}"


def encode(record: MasterRecord) -> str:
    """Return the JSON text of a record."""
    # Not by msgspec, which refuses names of queues that are not UTF-8.
    return json.dumps(record.as_dict())


def decode(raw: bytes) -> MasterRecord | None:
    """Return the record of a text; None if the text is none.

    Fields that another version of resqued has added are ignored.
    """
    try:
        return msgspec.convert(json.loads(raw), MasterRecord)
    except (ValueError, RecursionError, msgspec.ValidationError):
        return None
