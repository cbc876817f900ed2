"""What Redis holds about a worker, and whether that worker is alive.

A worker of this host is judged by its process; any other worker by its heartbeat or
ping only. A worker that never wrote either is left alone (wire format 3.4).
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from enum import Enum
from functools import lru_cache
from typing import NoReturn

from msgspec import Struct

# How many heartbeats a worker of resqued may miss, and for how many seconds one of
# Ruby may be silent (Resque.prune_interval).
MISSED_BEATS = 5
RUBY_SILENCE = 300.0
# node-resque writes its ping every 5 s and calls a worker dead after an hour.
NODE_SILENCE = 3600.0

# The digits of a pid; bounded, because an id may hold any text.
_DIGITS = re.compile(r"[0-9]{1,18}")

# What reading a value that is not of the expected form can raise.
_NO_SENSE = (ValueError, TypeError, KeyError, OverflowError, RecursionError)


def _refuse(name: str) -> NoReturn:
    """A silence of NaN seconds is never too long: such a worker would live for ever."""
    raise ValueError(f"{name} is not JSON")


class Identity(Struct, frozen=True):
    """What distinguishes a worker from all others that have or had the same id.

    `boot` is the id of the boot, `pids` the pid namespace, `start` the start of the
    process in ticks since boot, `interval` the seconds between heartbeats, `nonce`
    a random text.
    """

    boot: str
    pids: str
    pid: int
    start: int
    interval: float
    nonce: str

    def encode(self) -> str:
        """Return the text in Redis; equal texts mean the same worker."""
        return json.dumps(
            {
                "boot": self.boot,
                "pids": self.pids,
                "pid": self.pid,
                "start": self.start,
                "heartbeat": self.interval,
                "nonce": self.nonce,
            },
            separators=(",", ":"),
        )

    @classmethod
    def decode(cls, text: str) -> Identity | None:
        """Return the identity that `encode` wrote, or None if the text is none."""
        return _decoded(text)


# A worker keeps its identity, and each look at the registry judges it twice.
@lru_cache(maxsize=4096)
def _decoded(text: str) -> Identity | None:
    try:
        value = json.loads(text, parse_constant=_refuse)
        return Identity(
            boot=str(value["boot"]),
            pids=str(value["pids"]),
            pid=int(value["pid"]),
            start=int(value["start"]),
            interval=float(value["heartbeat"]),
            nonce=str(value["nonce"]),
        )
    except _NO_SENSE:
        return None


class HostIdentity(Struct, frozen=True):
    """The boot and the pid namespace of the process that judges a worker."""

    boot: str
    pids: str


class WorkerEntry(Struct, frozen=True):
    """What Redis holds about one worker: the values as they are, empty for none.

    `record` is the value of `worker:<id>`; `ping` is that of node-resque.
    """

    worker_id: str
    identity: str = ""
    heartbeat: str = ""
    record: bytes = b""
    ping: str = ""
    started: str = ""
    is_registered: bool = True

    @property
    def host(self) -> str:
        """The host in the id."""
        return self.worker_id.partition(":")[0]

    @property
    def pid(self) -> int:
        """The pid in the id; 0 if there is none (wire format 3.2)."""
        digits = self.worker_id.split(":", 2)[1:2]
        text = "".join(digits)
        match = _DIGITS.match(text)
        return int(match[0]) if match else 0

    @property
    def queues(self) -> tuple[str, ...]:
        """The names and patterns of the queue list in the id."""
        parts = self.worker_id.split(":", 2)
        return tuple(parts[2].split(",")) if len(parts) == 3 else ()

    @property
    def node_name(self) -> str:
        """The id without its queues: what node-resque calls a worker's name."""
        return ":".join(self.worker_id.split(":", 2)[:2])


class Liveness(Enum):
    """Whether a worker lives.

    DEAD: its process is gone; SILENT: its last heartbeat or ping is too old;
    UNKNOWN: it never wrote one.
    """

    ALIVE = "alive"
    DEAD = "dead"
    SILENT = "silent"
    UNKNOWN = "unknown"


def judge(
    entry: WorkerEntry, *, now: float, machine: HostIdentity, start_of_pid: int | None
) -> Liveness:
    """Return whether a worker lives.

    `now` is the server's time in seconds since the epoch; `machine` is where this
    process runs; `start_of_pid` is the start, in ticks since boot, of the process
    that has the identity's pid on this host, None if there is no such process.
    """
    identity = Identity.decode(entry.identity)
    if identity and (identity.boot, identity.pids) == (machine.boot, machine.pids):
        return Liveness.ALIVE if start_of_pid == identity.start else Liveness.DEAD
    silence = RUBY_SILENCE if identity is None else identity.interval * MISSED_BEATS
    age = heartbeat_age(entry.heartbeat, now)
    if age is not None:
        return Liveness.SILENT if age > silence else Liveness.ALIVE
    age = ping_age(entry.ping, now)
    if age is not None:
        return Liveness.SILENT if age > NODE_SILENCE else Liveness.ALIVE
    if identity and not (entry.is_registered or entry.record):
        # Ruby has unregistered a worker of resqued: it does not know identities. If
        # the worker lives, it finds its identity gone and registers again.
        return Liveness.SILENT
    return Liveness.UNKNOWN


def heartbeat_age(text: str, now: float) -> float | None:
    """Return the seconds since a heartbeat (ISO 8601 with an offset).

    `now` is in seconds since the epoch. Returns None if the text is not such a time.
    """
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    return now - then.timestamp()


def ping_age(text: str, now: float) -> float | None:
    """Return the seconds since a ping of node-resque, a JSON object with `time`.

    `now` is in seconds since the epoch. Returns None if the text is not a ping.
    """
    try:
        return now - float(json.loads(text, parse_constant=_refuse)["time"])
    except _NO_SENSE:
        return None
