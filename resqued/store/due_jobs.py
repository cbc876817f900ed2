"""The master's connection for moving delayed jobs that are due to their queues.

One script moves a batch and elects the master that calls it (store/lua/move_due.lua).
The connection has CLIENT TRACKING: while nobody waits and nobody is elected, the server
reports the first delayed job, and to the elected master each one that may be nearer.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

from msgspec import Struct

from resqued.store.connection import SingleLink
from resqued.store.delayed import DelayedJob, DelayedJobs
from resqued.store.script import Script
from resqued.store.store_errors import RefusedError, is_wrong_type
from resqued.wire import payload
from resqued.wire.failure_place import IN_FAILED, FailurePlace
from resqued.wire.keys import Keys, prefix_of
from resqued.wire.payload import FailureInfo

MOVE = Script("move_due")

# Items that one call moves: few milliseconds of the server.
_MOVED = "500"
# The kernel asks a silent peer after so many seconds, so often, at such intervals, and
# then closes the connection: a message about a nearer job must not be waited for in
# vain. It costs no command.
_KEEPALIVE = {
    socket.TCP_KEEPIDLE: 20,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
}


class Move(Struct, frozen=True):
    """What a call has done, and what the server said.

    `state` is idle, elected, standby or foreign; see the script. `holds` is how many
    seconds the elected master, or resque-scheduler, is sure to remain so. `now` is the
    server's clock; `next` the time at which the next item is due, None if nothing
    waits; both are in seconds since the epoch. With `is_partial` the batch ended at an
    odd item; `odd` names it, or a time whose key was of another type, with the reason.
    """

    state: str
    holds: float
    now: float
    moved: int
    next: float | None
    odd: tuple[str, str] = ("", "")
    is_partial: bool = False


class DueJobs:
    """Moves delayed jobs of one namespace; `owner` names this master in the lease.

    `timeout` is in seconds; `place` is where the failures of items go that are no jobs.
    Each method raises StoreError if Redis fails.
    """

    def __init__(
        self,
        url: str,
        keys: Keys,
        owner: str,
        *,
        timeout: float,
        place: FailurePlace = IN_FAILED,
    ) -> None:
        self._place = place
        self._link = SingleLink(url, timeout=timeout, namespace=keys.namespace)
        self._keys = keys
        self._owner = owner
        self._delayed = DelayedJobs(self._link, keys)
        self.is_tracking = False
        self._has_changed = False

    def open(self) -> None:
        """Connect, and turn tracking on if the server has it."""
        self.is_tracking = self._link.listen(self._on_message)
        self._keep_alive()

    def _keep_alive(self) -> None:
        fd = self._link.fileno()
        if fd is None:
            return
        # A Unix socket has none of these options.
        with socket.socket(fileno=os.dup(fd)) as sock, suppress(OSError):
            for option, value in _KEEPALIVE.items():
                sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def _on_message(self, message: Any) -> object:
        self._has_changed = True
        return message

    def fileno(self) -> int | None:
        """Return the connection's descriptor, or None without a connection."""
        return self._link.fileno()

    def drain(self) -> bool:
        """Read the messages that have arrived; return True if a time was added."""
        self._link.drain()
        changed, self._has_changed = self._has_changed, False
        return changed

    def move(self, lease: float) -> Move:
        """Move a batch of what is due, if this master is elected; `lease` in seconds.

        Afterwards the server reports the next change of the times, if this master is
        the elected one or nothing waits.
        """
        keys = self._keys
        names = (
            keys.delayed_schedule,
            keys.queues,
            keys.scheduler_lease,
            keys.ruby_scheduler_lock,
        )
        args = (prefix_of(keys), self._owner, str(round(lease * 1000)), _MOVED)
        state, holds, seconds, micros, moved, *odd = MOVE(self._link, names, args)
        fault = self._settle(*odd) if odd else ("", "")
        is_alone = state in (b"idle", b"elected")
        return Move(
            state=state.decode(),
            holds=max(0, holds) / 1000,
            now=int(seconds) + int(micros) / 1e6,
            moved=moved,
            next=self._track() if is_alone else None,
            odd=fault,
            is_partial=bool(odd),
        )

    def _track(self) -> float | None:
        """Return the first time, and have the server report when the times change."""
        # The changes of the script itself are reported before this.
        self._link.drain()
        self._has_changed = False
        key = self._keys.delayed_schedule
        found = self._link.call("ZRANGE", key, 0, 0, "WITHSCORES")
        # RESP3 has pairs.
        pair = found[0] if found and isinstance(found[0], list) else found
        return float(pair[1]) if pair else None

    def _settle(self, time: bytes, *item: bytes) -> tuple[str, str]:
        """Move, or record as failed, what the script left; return what was wrong."""
        when = time.decode("utf-8", "surrogateescape")
        if not item:
            return self._keys.delayed(when), "the key is no list; its time was removed"
        raw, reason = item
        job = DelayedJob.read(raw, when)
        fault = reason.decode("utf-8", "replace")
        if not fault and job.payload:
            try:
                self._delayed.run_now(job)
                return "", ""
            except RefusedError as error:
                if not is_wrong_type(error):
                    raise
                fault = str(error)
        fault = fault or "delayed item is no job with a queue"
        entry = payload.failure(
            FailureInfo(payload.PAYLOAD_ERROR, fault),
            payload=job.payload or raw,
            worker=self._owner,
            queue=job.queue,
            now=self._link.time(),
        )
        self._delayed.fail(job, self._place.addressed(entry, job.queue))
        return job.id, fault

    def use(self, url: str) -> None:
        """Connect to this URL from the next `open` on."""
        self._link.use(url)

    def close(self) -> None:
        """Close the connection; `open` makes a new one."""
        self._link.close()
