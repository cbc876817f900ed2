"""The life of a worker and of its runs in Redis: register, reserve, settle.

Used by one worker process, over one connection. Every step is one script that
may be asked again, so a StoreError always means: ask again later.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from resqued.store.connection import SingleLink
from resqued.store.script import Script
from resqued.wire import payload
from resqued.wire.keys import Keys
from resqued.wire.queue_list import QueueList
from resqued.wire.ruby_json import quote

RESERVE = Script("reserve")
REGISTER = Script("register")
HEARTBEAT = Script("heartbeat")
UNREGISTER = Script("unregister")


class ReserveOutcome(Enum):
    """What a worker that asked for a job was told."""

    JOB = "job"
    EMPTY = "empty"
    PAUSED = "paused"
    UNREGISTERED = "unregistered"
    SETTLED = "settled"


class SettleOutcome(Enum):
    """What became of the run that was to be settled."""

    RECORDED = 1
    NOTHING = 0
    NOT_MINE = -1


# hot path: enum-members
_SETTLED = {settled.value: settled for settled in SettleOutcome}
_JOB = ReserveOutcome.JOB


# hot path: plain-records
@dataclass(slots=True)
class ReserveReply:
    """A reply of the server: what was settled, and what was found."""

    settled: SettleOutcome
    found: ReserveOutcome
    held: payload.Reservation | None = None
    run: int = 0


@dataclass(slots=True)
class FinishedRun:
    """A run to settle: its number, and its failure entry unless it succeeded."""

    run: int
    failure: bytes = b""


class Runs:
    """One worker's view of the store."""

    def __init__(
        self,
        link: SingleLink,
        keys: Keys,
        *,
        worker_id: str,
        identity: str,
        queues: QueueList,
    ) -> None:
        self.link = link
        self.worker_id = worker_id
        self.identity = identity
        self._started = payload.started(time.time())
        self._second = 0
        self._second_text = ""
        self._list = queues
        self._keys = keys
        self._registry = registry_keys(keys, worker_id)
        self._fixed = (
            keys.worker(worker_id),
            keys.stat("processed"),
            keys.stat("processed", worker_id),
            keys.stat("failed"),
            keys.stat("failed", worker_id),
            keys.failed,
            keys.identities,
            keys.paused,
            keys.queues,
        )
        self._expand(())

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the list means now, in order."""
        return self._names

    def _expand(self, known: Collection[str]) -> None:
        """Work out the queues to try, once per change of the set of queues."""
        self._names = self._list.match(known)
        names = [quote(name) for name in self._names]
        knowledge = ["1", *known] if self._list.is_dynamic else ["0"]
        self._reserve = RESERVE.prepare(
            (*self._fixed, *map(self._keys.queue, self._names)),
            (self.worker_id, self.identity),
            (str(len(names)), *names, *knowledge),
            room=4,
        )

    def register(self) -> bool:
        """Register and beat; answer False if the id is somebody else's."""
        reply = REGISTER(
            self.link,
            self._registry,
            (self.worker_id, self.identity, self._started, self._beat()),
        )
        return bool(reply[0] == b"registered")

    def heartbeat(self) -> bool:
        """Beat; answer False if somebody unregistered this worker."""
        keys = self._keys
        reply = HEARTBEAT(
            self.link,
            (
                keys.workers,
                keys.started(self.worker_id),
                keys.heartbeats,
                keys.identities,
            ),
            (self.worker_id, self.identity, self._started, self._beat()),
        )
        return bool(reply)

    def unregister(self) -> bool:
        """Leave the registry; False if the entry is not ours, or holds a job."""
        return bool(
            UNREGISTER(self.link, self._registry, (self.worker_id, self.identity))
        )

    def _beat(self) -> str:
        # The server's clock: hosts disagree about the time, and a beat from the
        # future or the past gets its worker pruned.
        return payload.heartbeat(self.link.time())

    def reserve(self, ending: FinishedRun | None = None) -> ReserveReply:
        """Settle ending, if any, and take the next job, in one round trip."""
        answer = self._ask(ending, reserve=True)
        # The set of queues changes seldom; the second question follows at once.
        while answer is None:
            answer = self._ask(ending, reserve=True)
        return answer

    def settle(self, ending: FinishedRun | None) -> ReserveReply:
        """Settle ending and take nothing new.

        Answers the job that is held already, if an earlier reply was lost.
        """
        answer = self._ask(ending, reserve=False)
        assert answer is not None, "only a reservation can be stale"
        return answer

    def _ask(self, ending: FinishedRun | None, *, reserve: bool) -> ReserveReply | None:
        """Run the script; answer None if the queues must be expanded anew."""
        run_at = self._run_at()
        reply = self._reserve(
            self.link,
            b"" if ending is None else b"%d" % ending.run,
            b"" if ending is None else ending.failure,
            run_at.encode(),
            b"1" if reserve else b"0",
        )
        settled, state = _SETTLED[reply[0]], reply[1]
        if state == b"job":
            held = payload.Reservation(self._names[reply[4] - 1], run_at, reply[2])
            return ReserveReply(settled, _JOB, held, reply[3])
        if state == b"held":
            return ReserveReply(settled, _JOB, payload.decode_held(reply[2]), reply[3])
        if state == b"stale":
            self._expand([name.decode("utf-8", "surrogateescape") for name in reply[2]])
            return None
        return ReserveReply(settled, ReserveOutcome(state.decode()))

    def _run_at(self) -> str:
        """Return the time for a record, in whole seconds."""
        # hot path: second-text
        second = int(time.time())
        if second != self._second:
            self._second, self._second_text = second, payload.run_at(second)
        return self._second_text


def registry_keys(keys: Keys, worker_id: str) -> tuple[str, ...]:
    """Return the keys that register, unregister and bury share, in their order."""
    return (
        keys.workers,
        keys.worker(worker_id),
        keys.started(worker_id),
        keys.heartbeats,
        keys.identities,
        keys.stat("processed", worker_id),
        keys.stat("failed", worker_id),
    )
