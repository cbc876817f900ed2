"""Who is alive: what the registry says of a worker, judged.

A worker of this machine is judged by its process, any other by its heartbeat or
ping alone, and one that never gave a sign is left alone (wire format 3.4).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

# How many heartbeats a worker of ours may miss, and how long one of Ruby's may
# be silent (Resque.prune_interval).
MISSED_BEATS = 5
RUBY_SILENCE = 300.0
# node-resque writes its ping every 5 s and calls a worker dead after an hour.
NODE_SILENCE = 3600.0

# As long as a pid can be, whatever stands in an id.
_DIGITS = re.compile(r"[0-9]{1,18}")

# What rubbish in Redis makes of an attempt to read it.
_NO_SENSE = (ValueError, TypeError, KeyError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Identity:
    """Tells one worker from every other that has had, or has, the same id."""

    boot: str
    pids: str
    pid: int
    start: int
    interval: float
    nonce: str

    def encode(self) -> str:
        """Return the text that stands in Redis; equal texts are equal workers."""
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
        """Return the identity that text tells, or None if it tells none."""
        try:
            value = json.loads(text)
            return cls(
                boot=str(value["boot"]),
                pids=str(value["pids"]),
                pid=int(value["pid"]),
                start=int(value["start"]),
                interval=float(value["heartbeat"]),
                nonce=str(value["nonce"]),
            )
        except _NO_SENSE:
            return None


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """Where the one who judges runs: this boot, this set of pids."""

    boot: str
    pids: str


@dataclass(frozen=True, slots=True)
class WorkerEntry:
    """What Redis knows of one worker; texts as they stand there, "" for none."""

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
        found = _DIGITS.match(text)
        return int(found[0]) if found else 0

    @property
    def queues(self) -> tuple[str, ...]:
        """The queue list in the id."""
        parts = self.worker_id.split(":", 2)
        return tuple(parts[2].split(",")) if len(parts) == 3 else ()

    @property
    def node_name(self) -> str:
        """The id without its queues: what node-resque calls a worker's name."""
        return ":".join(self.worker_id.split(":", 2)[:2])


class Liveness(Enum):
    """What is known of a worker."""

    ALIVE = "alive"
    DEAD = "dead"
    SILENT = "silent"
    UNKNOWN = "unknown"


def judge(
    entry: WorkerEntry, *, now: float, machine: HostIdentity, start_of_pid: int | None
) -> Liveness:
    """Say whether a worker lives; DEAD by its process, SILENT by its heartbeat.

    `now` is the server's clock; `start_of_pid` is when the process began that
    has the identity's pid here, if there is one.
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
        # Ruby unregistered one of ours, and knows nothing of identities. Should it
        # live, it finds its own gone and registers again.
        return Liveness.SILENT
    return Liveness.UNKNOWN


def heartbeat_age(text: str, now: float) -> float | None:
    """Return the seconds since a heartbeat; None if text is no time we can read."""
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    return now - then.timestamp()


def ping_age(text: str, now: float) -> float | None:
    """Return the seconds since a ping of node-resque; None if there is none."""
    try:
        return now - float(json.loads(text)["time"])
    except _NO_SENSE:
        return None
