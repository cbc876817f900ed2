"""The steps of a worker and of its runs in Redis: register, reserve, settle.

Used by a worker process over its one connection. Each step is one Lua script that is
safe to repeat: after a StoreError the caller repeats the step later.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from resqued.store.attempts import SETTLE_ATTEMPT, AttemptEnd, attempt_words
from resqued.store.connection import SingleLink
from resqued.store.queue_choice import QueueChoice
from resqued.store.script import Script
from resqued.store.store_errors import RefusedError
from resqued.store.write_check import check_writes
from resqued.wire import payload, timestamps, worker_record
from resqued.wire.keys import Keys
from resqued.wire.queue_list import QueueList
from resqued.wire.ruby_json import quote

RESERVE = Script("reserve")
REGISTER = Script("register")
HEARTBEAT = Script("heartbeat")
UNREGISTER = Script("unregister")


class NoJob(Enum):
    """Why a worker that asked got no job.

    SETTLED: it asked for no job, and holds none. AGAIN: the queues were not all tried;
    it asks again when it has looked at its signals.
    """

    EMPTY = "empty"
    PAUSED = "paused"
    UNREGISTERED = "unregistered"
    SETTLED = "settled"
    AGAIN = "again"


class SettleOutcome(Enum):
    """The result of settling a run.

    ASIDE: the failure entry went to `resqued:failed`, because `failed` is no list;
    NOTHING: it was recorded before, or there was none; NOT_MINE: the run has been
    taken away from this worker; RETRIED: the next attempt of the job waits;
    QUARANTINED: the job was set aside, because it has killed its child too often.
    """

    RECORDED = 1
    ASIDE = 2
    NOTHING = 0
    NOT_MINE = -1
    RETRIED = 3
    QUARANTINED = 4


# hot path: enum-members
_SETTLED = {settled.value: settled for settled in SettleOutcome}
_NOTHING = SettleOutcome.NOTHING

# States of reserve.lua with which the worker holds a job.
_WITH_JOB = {b"job", b"held"}

# How long replicas may take to confirm what was written, in seconds.
_REPLICA_WAIT = 1.0

# A reply of reserve.lua: the result of settling, and the answer about a job.
ReserveReply = tuple[SettleOutcome, payload.Reservation | NoJob]


# hot path: plain-records
class FinishedRun(Struct):
    """A run to settle: its number, and its failure entry ("" if it succeeded).

    `attempt` is there if the job has a retry, or has killed its child; of that, `death`
    is what is kept. `held` is the job as it was reserved.
    """

    run: int
    failure: bytes = b""
    attempt: AttemptEnd | None = None
    death: bytes = b""
    held: payload.Reservation | None = None

    def number_in(self, answer: payload.Reservation | NoJob) -> int | None:
        """Return the number that Redis has for this run, if it is still held."""
        if not isinstance(answer, payload.Reservation) or self.held is None:
            return None
        return answer.run if replace(self.held, run=answer.run) == answer else None


class JobIntake(Struct, frozen=True):
    """Which jobs a worker takes.

    `max_payload` is how many bytes a payload may have; with `is_burst` the worker
    leaves when its queues are empty. `min_replicas` is how many replicas must have the
    record of a run before it begins, and after it was settled.
    """

    queues: QueueList
    max_payload: int = payload.MAX_PAYLOAD
    is_burst: bool = False
    min_replicas: int = 0


class Runs:
    """One worker's registration and runs in Redis.

    Each method that asks Redis raises StoreError if Redis fails.
    """

    def __init__(
        self,
        link: SingleLink,
        keys: Keys,
        *,
        worker_id: str,
        identity: str,
        intake: JobIntake,
    ) -> None:
        self.link = link
        self.worker_id = worker_id
        self.identity = identity
        self._started = timestamps.started(time.time())
        # A queue whose key is not a list, which the last request has skipped.
        self.wrong_type = ""
        self._second = 0
        self._second_text = ""
        self._max_payload = str(intake.max_payload)
        self._min_replicas = intake.min_replicas
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
            keys.failed_aside,
            keys.followed,
        )
        self._choice = QueueChoice(link, keys, intake.queues, looks=intake.is_burst)
        self._prepare()

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that the list matches now, in order; its entries if too many."""
        return self._choice.shown

    def hint(self, names: Sequence[str] | None) -> None:
        """Use these names of queues that have jobs, which the master has read.

        None: the worker reads the lengths itself.
        """
        if self._choice.hint(names):
            self._prepare()

    def pause(self, queues: Sequence[str] | None) -> None:
        """Take no job from these queues; None: read which are paused before the next.

        The master says so when they change.
        """
        if self._choice.pause(queues):
            self._prepare()

    def _prepare(self) -> None:
        """Pack the request for the queues to try, when these have changed."""
        self._names = self._choice.names
        names = [quote(name) for name in self._names]
        self._reserve = RESERVE.prepare(
            (*self._fixed, *map(self._keys.queue, self._names)),
            (self.worker_id, self.identity),
            (self._max_payload, str(len(names)), *names, *self._choice.knowledge),
            room=4,
        )

    def register(self) -> bool:
        """Register with a heartbeat; return False if another worker has the id."""
        reply = REGISTER(
            self.link,
            self._registry,
            (self.worker_id, self.identity, self._started, self._beat()),
        )
        return bool(reply[0] == b"registered")

    def heartbeat(self) -> bool:
        """Write a heartbeat; return False if this worker has been unregistered."""
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
        """Unregister; return False if the entry is another worker's or holds a job."""
        return bool(
            UNREGISTER(self.link, self._registry, (self.worker_id, self.identity))
        )

    def _beat(self) -> str:
        # The server's clock: clocks of hosts differ, and a heartbeat from the future
        # or the past would get its worker pruned.
        return timestamps.heartbeat(self.link.time())

    def check_writes(self) -> None:
        """Raise StoreError unless the server accepts writes; changes nothing."""
        check_writes(self.link, self._keys)

    def reserve(self, ending: FinishedRun | None = None) -> ReserveReply:
        """Settle the run `ending`, if any, and take the next job, in one round trip.

        A change of the set of queues takes a second round trip. The answer is AGAIN if
        the set changes all the time, or is too large to be read at once.
        """
        if self._choice.expire():
            self._prepare()
        settled, answer = self._ask(ending, reserve=True)
        if answer is NoJob.AGAIN:
            first, (settled, answer) = settled, self._ask(ending, reserve=True)
            settled = first if settled is _NOTHING else settled
        if answer is NoJob.EMPTY:
            found = self._choice.look_further()
            if found:
                self._prepare()
            answer = NoJob.EMPTY if found is None else NoJob.AGAIN
        return settled, answer

    def settle(self, ending: FinishedRun | None) -> ReserveReply:
        """Settle the run `ending`, if any, and take no new job.

        The reply has the job that this worker holds already, if the reply that
        reserved it was lost.
        """
        return self._ask(ending, reserve=False)

    def settle_attempt(self, ending: FinishedRun, end: AttemptEnd) -> SettleOutcome:
        """Settle a run of a job with a retry, and have the next attempt wait.

        All in one step on the server.
        """
        keys, words = attempt_words(self._keys, end, ending.failure, ending.death)
        # The counters, `failed`, the identities and what stands in for `failed`.
        first = (*self._fixed[:7], self._fixed[9])
        about = (self.worker_id, self.identity, str(ending.run))
        reply = SETTLE_ATTEMPT(self.link, (*first, *keys), (*about, *words))
        if self._min_replicas:
            self._await_replicas()
        return _SETTLED[reply]

    def _ask(self, ending: FinishedRun | None, *, reserve: bool) -> ReserveReply:
        """Run reserve.lua; AGAIN if it must run again with other queues."""
        run_at = self._run_at()
        reply = self._reserve(
            self.link,
            b"" if ending is None else b"%d" % ending.run,
            b"" if ending is None else ending.failure,
            run_at.encode(),
            b"1" if reserve else b"0",
        )
        settled, state = _SETTLED[reply[0]], reply[1]
        if self._min_replicas and (ending or state in _WITH_JOB):
            self._await_replicas()
        if state == b"job":
            queue = self._names[reply[4] - 1]
            if reply[5]:
                self.wrong_type = self._names[reply[5] - 1]
            return settled, payload.Reservation(queue, run_at, reply[2], reply[3])
        if state == b"held":
            return settled, replace(worker_record.decode_held(reply[2]), run=reply[3])
        if state in {b"stale", b"many"}:
            self._learn(reply[2:])
            return settled, NoJob.AGAIN
        if state == b"empty" and reply[2]:
            self.wrong_type = self._names[reply[2] - 1]
        return settled, NoJob(state.decode())

    def _await_replicas(self) -> None:
        """Raise RefusedError unless enough replicas have all that was written so far.

        The caller repeats its request then, and gets the same job: a connection that is
        new has to write something, because WAIT counts from its own last write.
        """
        wanted, patience = self._min_replicas, min(_REPLICA_WAIT, self.link.timeout / 2)
        _, found = self.link.pipeline(
            [
                ("HSET", self._keys.identities, self.worker_id, self.identity),
                ("WAIT", wanted, int(patience * 1000)),
            ]
        )
        if int(found) < wanted:
            raise RefusedError(
                f"{found} of {wanted} replicas ([redis] min_replicas) have confirmed"
                f" the record of the run within {patience:g} s: the job waits"
            )

    def _learn(self, names: list[list[bytes]]) -> None:
        """Use the names of all queues; an empty list means more than MANY queues."""
        if names:
            known = [name.decode("utf-8", "surrogateescape") for name in names[0]]
            self._choice.know(known)
        else:
            self._choice.know_many()
        self._prepare()

    def _run_at(self) -> str:
        """Return the time for a record, in whole seconds."""
        # hot path: second-text
        second = int(time.time())
        if second != self._second:
            self._second, self._second_text = second, timestamps.run_at(second)
        return self._second_text


def registry_keys(keys: Keys, worker_id: str) -> tuple[str, ...]:
    """Return the first keys of register.lua, unregister.lua and reclaim.lua."""
    return (
        keys.workers,
        keys.worker(worker_id),
        keys.started(worker_id),
        keys.heartbeats,
        keys.identities,
        keys.stat("processed", worker_id),
        keys.stat("failed", worker_id),
    )
