"""What people may ask of a running master: each request of the control socket.

Runs in the master. A request that takes time is kept as an pending, and answered at
the turn of the loop at which it is done.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from resqued.control.server import Peer
from resqued.core.durations import show_seconds
from resqued.core.lifecycle import Event, State
from resqued.core.timings import NEVER
from resqued.errors import ControlError
from resqued.ipc.messages import EndJob, JobInChild
from resqued.ipc.scoreboard import Phase
from resqued.log.logger import Logger
from resqued.master.limit_enforcer import LimitEnforcer
from resqued.master.pool import Pool
from resqued.master.usage import of_process
from resqued.master.worker_handle import WorkerHandle
from resqued.system import process
from resqued.system.signals import STACK_SIGNAL

# What an order may come with: this, and nothing else of a request, is logged.
VALUES = ("who", "older", "children", "queues", "workers", "wait", "now", "master")
# More workers than anybody means; a slip of the finger.
MOST_WORKERS = 10_000


class MasterControl(Protocol):
    """What orders need of the master that obeys them."""

    pool: Pool
    limit_enforcer: LimitEnforcer
    state: State
    began: float

    def reload(self, now: float) -> int:
        """Begin to move to a new generation; answer its number."""

    def replace(self, asker: Peer, now: float) -> None:
        """Go over to the program as it is now."""

    def change_state(self, event: Event, now: float) -> None:
        """Take note of an event."""


@dataclass(slots=True)
class PendingReply:
    """A request that is not answered yet: asked at each turn whether it is done."""

    peer: Peer
    is_done: Callable[[float], bool]


class CommandHandlers:
    """Obeys requests."""

    def __init__(self, master: MasterControl, log: Logger) -> None:
        self._master = master
        self._pool = master.pool
        self._log = log
        self._pending: list[PendingReply] = []

    def handle(self, peer: Peer, request: dict[str, Any], now: float) -> None:
        """Do what was asked; what is wrong with it becomes the answer."""
        name = str(request.get("do", ""))
        handler = getattr(self, f"_do_{name}", None)
        if handler is None:
            peer.answer(ok=False, error=f"this master knows no order {name!r}")
            return
        if name not in ("status", "stack"):
            said = {k: request[k] for k in VALUES if request.get(k) is not None}
            self._log.info("order_received", order=name, sent_by=peer.name, **said)
        try:
            handler(peer, request, now)
        except (ControlError, KeyError, TypeError, ValueError, OverflowError) as error:
            peer.answer(ok=False, error=_text(error))

    def turn(self, now: float) -> None:
        """See which errands are done."""
        self._pending = [
            pending
            for pending in self._pending
            if not pending.peer.is_closed and not pending.is_done(now)
        ]

    def due(self, now: float) -> float:
        """Return when a pending reply is to be looked at again."""
        interval = self._pool.generations.current.config.app.timings.reply_interval
        return now + interval if self._pending else NEVER

    # What there is to see

    def _do_status(self, peer: Peer, request: dict[str, Any], now: float) -> None:
        peer.answer(**self.status(now, with_usage=bool(request.get("usage"))))

    def status(self, now: float, *, with_usage: bool) -> dict[str, Any]:
        """Return all that this master knows of itself."""
        generations = self._pool.generations
        result = generations.results.newest
        return {
            "pid": os.getpid(),
            "state": self._master.state.value,
            "is_paused": self._pool.is_paused,
            "generation": generations.current.number,
            "is_reloading": generations.is_moving or generations.pending is not None,
            "last_reload": None if result is None else result._asdict(),
            "since": round(now - self._master.began, 3),
            "namespace": generations.current.config.app.namespace,
            "modules": list(generations.current.config.app.modules),
            "pools": dict(self._pool.wanted.counts),
            "workers": [
                self._worker(w, now, with_usage=with_usage)
                for w in self._pool.workers()
            ],
        }

    def _worker(
        self, worker: WorkerHandle, now: float, *, with_usage: bool
    ) -> dict[str, Any]:
        status = worker.scoreboard.read()
        is_running = status.phase is Phase.RUNNING and status.child
        tally = worker.scoreboard.run_counts()
        found: dict[str, Any] = {
            "id": worker.worker_id,
            "pid": worker.pid,
            "queues": worker.queues,
            "generation": worker.generation,
            "phase": status.phase.name.lower() if worker.is_registered else "starting",
            "quits": worker.left_at is not None,
            "since": round(max(0.0, now - status.since), 3) if status.since else None,
            "done": tally.done,
            "failed": tally.failed,
            "child": status.child if is_running else None,
            "job": _job_in(process.title(status.child)) if is_running else None,
        }
        if is_running:
            limits = worker.scoreboard.limits_of(status.child)
            found["limits"] = None if limits is None else limits._asdict()
        if with_usage and is_running:
            found["cpu"], found["memory"] = self._master.limit_enforcer.usage_of(worker)
        elif with_usage and worker.pid is not None:
            found["cpu"], found["memory"] = of_process(worker.pid)
        return found

    # Jobs

    def _do_kill(self, peer: Peer, request: dict[str, Any], now: float) -> None:
        """End the job of one worker or child, or all that run for so long.

        Of the latter only those of `children`, if these are named: what was not
        shown to a person who was asked is not ended.
        """
        older, children = request.get("older"), request.get("children")
        if older is None:
            chosen = [self._busy(request["who"])]
        else:
            chosen = [w for w in self._pool.workers() if _runs(w, now - float(older))]
        reason = f"it was ended by {peer.name}"
        ended = []
        for worker in chosen:
            status = worker.scoreboard.read()
            if children is None or status.child in children:
                ended.append(self._worker(worker, now, with_usage=False))
                job = JobInChild(status.child, status.since)
                worker.send(EndJob(reason, job=job))
        peer.answer(ended=ended)

    def _busy(self, who: object) -> WorkerHandle:
        """Return the worker that is named, by its id, its pid or its child's."""
        name = str(who)
        for worker in self._pool.workers():
            child = worker.scoreboard.read().child
            if name in (worker.worker_id, str(worker.pid), str(child or "")):
                if not _runs(worker):
                    raise ControlError(f"worker {worker.name} runs no job")
                return worker
        raise ControlError(
            f"{name} is no worker of this master, and no child of one;"
            " `resqued top` lists them"
        )

    def _do_stack(self, peer: Peer, request: dict[str, Any], now: float) -> None:
        """Have a child write its stacks down, and answer them."""
        worker = self._busy(request["who"])
        child = worker.scoreboard.read().child
        worker.scoreboard.clear_stack()
        process.send(child, STACK_SIGNAL)
        before: list[tuple[str, ...]] = [()]
        patience = self._pool.generations.current.config.app.timings.dump_patience

        def is_done(at: float) -> bool:
            lines = () if worker.is_gone else worker.scoreboard.stack()
            is_whole = bool(lines) and lines == before[0]
            before[0] = lines
            if is_whole:
                peer.answer(worker=worker.worker_id, child=child, stack=lines)
            elif at - now > patience:
                reason = "it takes no signals: it is stopped, or they are masked"
                peer.answer(
                    ok=False, error=f"child {child} wrote no stack down; {reason}"
                )
            return peer.is_closed or is_whole or at - now > patience

        self._pending.append(PendingReply(peer, is_done))

    # The pool

    def _do_pause(self, peer: Peer, _request: dict[str, Any], _now: float) -> None:
        self._pool.pause(is_paused=True)
        peer.answer()

    def _do_resume(self, peer: Peer, _request: dict[str, Any], _now: float) -> None:
        self._pool.pause(is_paused=False)
        peer.answer()

    def _do_scale(self, peer: Peer, request: dict[str, Any], _now: float) -> None:
        """Want so many workers; `+1` and `-1` count from what is wanted now."""
        self._refuse_if_stopping()
        name = self._pool.wanted.list_named(request.get("queues"))
        before, text = self._pool.wanted.counts[name], str(request["workers"])
        count = int(text) + (before if text[:1] in "+-" else 0)
        if not 0 <= count <= MOST_WORKERS:
            raise ControlError(
                f"that would be {count} workers: must be from 0 to {MOST_WORKERS}"
            )
        self._pool.scale(name, count)
        peer.answer(queues=name, before=before, workers=count)

    def _do_drain(self, peer: Peer, request: dict[str, Any], _now: float) -> None:
        """Take no new jobs; with `wait`, answer when none is running."""
        self._pool.pause(is_paused=True)
        self._wait_for(
            peer, request, lambda: not any(map(_holds, self._pool.workers()))
        )

    def _do_reload(self, peer: Peer, request: dict[str, Any], now: float) -> None:
        """Move to a new generation; with `wait`, answer what came of it.

        With `master` this program is replaced first, and that is always waited for.
        """
        self._refuse_if_stopping()
        if request.get("master"):
            self._master.replace(peer, now)
            return
        number = self._master.reload(now)
        if request.get("wait"):
            self.await_reload(peer, number)
        else:
            peer.answer(generation=number)

    def await_reload(self, peer: Peer, number: int) -> None:
        """Answer what comes of a reload, when it has."""
        generations = self._pool.generations

        def is_done(_at: float) -> bool:
            result = generations.results.newest
            if result is None or result.generation < number:
                return False
            reason = f"reload to generation {result.generation} failed: {result.error}"
            peer.answer(
                ok=not result.error,
                generation=result.generation,
                error=reason if result.error else "",
            )
            return True

        self._pending.append(PendingReply(peer, is_done))

    def _do_stop(self, peer: Peer, request: dict[str, Any], now: float) -> None:
        """Stop: when the running jobs are done, or `now`."""
        event = Event.TERMINATE if request.get("now") else Event.QUIT
        self._master.change_state(event, now)
        # The end of the connection is the end of the master.
        self._wait_for(peer, request, lambda: False)

    def _refuse_if_stopping(self) -> None:
        if self._pool.is_stopping:
            raise ControlError("this master is about to stop")

    def _wait_for(
        self, peer: Peer, request: dict[str, Any], is_so: Callable[[], bool]
    ) -> None:
        began = time.monotonic()

        def is_done(at: float) -> bool:
            if not is_so():
                return False
            peer.answer(after=show_seconds(at - began))
            return True

        if not request.get("wait"):
            peer.answer()
        else:
            self._pending.append(PendingReply(peer, is_done))


def _runs(worker: WorkerHandle, before: float = math.inf) -> bool:
    """Say whether a worker runs a job, and that since before a time."""
    status = worker.scoreboard.read()
    is_running = status.phase is Phase.RUNNING and bool(status.child)
    return is_running and status.since < before


def _holds(worker: WorkerHandle) -> bool:
    """Say whether a worker has a job, or an ending of one to settle."""
    busy = (Phase.RUNNING, Phase.RESERVING, Phase.SETTLING)
    return worker.scoreboard.read().phase in busy


def _job_in(title: str) -> dict[str, str] | None:
    """Return queue and class of the job that a child's title names."""
    _, found, rest = title.partition(": Processing ")
    queue, since, class_name = rest.rpartition(" since ")
    if not found or not since:
        return None
    return {"queue": queue, "class": class_name.partition("[")[2].rstrip("]")}


def _text(error: Exception) -> str:
    if isinstance(error, ControlError):
        return str(error)
    return f"the request is not as it should be: {type(error).__name__}: {error}"
