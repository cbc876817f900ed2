"""The requests of the control socket, and how a running master carries them out.

Runs in the master. A request that takes time is kept, and answered at the turn of the
loop at which its reply is known. An error in a request never ends the master.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, assert_never

from msgspec import Struct

from resqued.config.pools import MOST_WORKERS
from resqued.control import protocol
from resqued.control.protocol import (
    AnyRequest,
    DrainReply,
    DrainRequest,
    ErrorReply,
    JobLimits,
    KillReply,
    KillRequest,
    PauseRequest,
    PoolJob,
    PoolWorker,
    ReloadReply,
    ReloadRequest,
    ReloadResult,
    ReopenRequest,
    Reply,
    ResumeRequest,
    ScaleReply,
    ScaleRequest,
    StackReply,
    StackRequest,
    StatusReply,
    StatusRequest,
)
from resqued.control.server import Peer
from resqued.core.durations import show_seconds
from resqued.core.lifecycle import Event, State
from resqued.core.pool_key import by_queues
from resqued.core.timings import NEVER
from resqued.errors import ControlError
from resqued.ipc.messages import EndJob, JobInChild
from resqued.ipc.scoreboard import Phase, StepRecord
from resqued.log.logger import Logger
from resqued.master.limit_enforcer import LimitEnforcer
from resqued.master.namespace_parts import ServedNamespaces
from resqued.master.pool import Pool
from resqued.master.usage import of_process
from resqued.master.worker_handle import WorkerHandle
from resqued.store.server_url import redact
from resqued.system import process
from resqued.system.ownership import user_name
from resqued.system.signals import STACK_SIGNAL

# Called at each turn of the loop, with the time, until it returns a reply.
Poll = Callable[[float], Reply | None]


class MasterControl(Protocol):
    """The parts and methods of the master that requests use."""

    pool: Pool
    limit_enforcer: LimitEnforcer
    namespaces: ServedNamespaces
    state: State
    began: float

    def reload(self, now: float) -> int:
        """Begin to move to a new generation; return its number."""

    def reopen_log(self) -> None:
        """Reopen the log file; raise ControlError if that is not possible."""

    def replace(self, asker: Peer, now: float) -> None:
        """Begin to replace the program of the master; `asker` gets the reply."""

    def change_state(self, event: Event, now: float) -> None:
        """Go to the state that follows an event."""


class PendingReply(Struct, frozen=True):
    """A request that is not answered yet; `poll` returns its reply."""

    peer: Peer
    order: str
    poll: Poll


class CommandHandlers:
    """Carries out requests, and answers them."""

    def __init__(self, master: MasterControl, log: Logger) -> None:
        self._master = master
        self._pool = master.pool
        self._log = log
        self._pending: list[PendingReply] = []

    def handle(self, peer: Peer, request: AnyRequest, now: float) -> None:
        """Carry out a request, and answer it; an error becomes the reply."""
        values = protocol.as_dict(request)
        order = values.pop("do")
        if not isinstance(request, StatusRequest | StackRequest):
            self._log.info("order_received", order=order, sent_by=peer.name, **values)
        with self._answering_errors(peer, order):
            result = self._dispatch(peer, request, now)
            if isinstance(result, Reply):
                peer.answer(result)
            elif result is not None:
                self._pending.append(PendingReply(peer, order, result))

    def _dispatch(  # noqa: PLR0911 - a return for each order
        self, peer: Peer, request: AnyRequest, now: float
    ) -> Reply | Poll | None:
        """Return the reply, or a function that returns it later; None: no reply."""
        match request:
            case StatusRequest():
                return self.status(now, with_usage=request.usage)
            case StackRequest():
                return self._stack(request, now)
            case KillRequest():
                return self._kill(request, user_name(peer.uid), now)
            case PauseRequest() | ResumeRequest():
                self._pool.pause(is_paused=isinstance(request, PauseRequest))
                return Reply()
            case DrainRequest():
                return self._drain(request)
            case ScaleRequest():
                return self._scale(request)
            case ReloadRequest():
                return self._reload(peer, request, now)
            case ReopenRequest():
                self._master.reopen_log()
                return Reply()
            case _:
                assert_never(request)

    @contextmanager
    def _answering_errors(self, peer: Peer, order: str) -> Iterator[None]:
        """Refuse with the text of a ControlError; log and report other exceptions."""
        try:
            yield
        except ControlError as error:
            peer.refuse(str(error))
        except Exception as error:  # the guard: the pool continues
            self._log.exception("control_failed", order=order, sent_by=peer.name)
            peer.refuse(
                f"internal error: {type(error).__name__}: {error};"
                " the log of the master has the traceback (control_failed)"
            )

    def turn(self, now: float) -> None:
        """Answer the pending requests whose replies are known."""
        self._pending = [each for each in self._pending if not self._is_over(each, now)]

    def _is_over(self, pending: PendingReply, now: float) -> bool:
        if pending.peer.is_closed:
            return True
        with self._answering_errors(pending.peer, pending.order):
            reply = pending.poll(now)
            if reply is None:
                return False
            pending.peer.answer(reply)
        return True

    def due(self, now: float) -> float:
        """Return when to ask for the pending replies again, or NEVER."""
        return now + self._pool.timings.reply_interval if self._pending else NEVER

    # Status

    def status(self, now: float, *, with_usage: bool) -> StatusReply:
        """Return the status of this master and of its workers."""
        generations = self._pool.generations
        result, counts = generations.outcomes.newest, self._pool.wanted.counts
        return StatusReply(
            pid=os.getpid(),
            state=self._master.state.value,
            is_paused=self._pool.is_paused,
            generation=generations.current.number,
            is_reloading=generations.is_moving or generations.pending is not None,
            last_reload=None if result is None else ReloadResult(**result._asdict()),
            since=round(now - self._master.began, 3),
            redis=redact(generations.current.config.app.url),
            namespace=generations.current.config.app.namespace,
            modules=tuple(generations.current.config.app.modules),
            pools=by_queues(counts),
            namespaces=self._master.namespaces.statuses(counts),
            primary=self._master.namespaces.primary,
            redis_error=self._master.namespaces.error,
            spawn_error=next((s.error for s in self._pool.slots if s.error), ""),
            workers=tuple(
                self._worker(w, now, with_usage=with_usage)
                for w in self._pool.workers()
            ),
        )

    def _worker(
        self, worker: WorkerHandle, now: float, *, with_usage: bool
    ) -> PoolWorker:
        status = worker.scoreboard.read()
        is_running = status.phase is Phase.RUNNING and bool(status.child)
        tally = worker.scoreboard.run_counts()
        cpu, memory = self._usage(worker, is_running) if with_usage else (None, None)
        since = _since(worker, status)
        return PoolWorker(
            id=worker.worker_id,
            pid=worker.pid,
            **worker.pool._asdict(),
            generation=worker.generation,
            phase=status.phase.name.lower() if worker.is_registered else "starting",
            quits=worker.left_at is not None,
            since=round(max(0.0, now - since), 3) if since else None,
            done=tally.done,
            failed=tally.failed,
            child=status.child if is_running else None,
            job=_job_in(process.title(status.child)) if is_running else None,
            limits=_limits(worker, status.child) if is_running else protocol.NO_JOB,
            cpu=cpu,
            memory=memory,
        )

    def _usage(
        self, worker: WorkerHandle, is_running: bool
    ) -> tuple[float | None, int | None]:
        """Return CPU seconds and private bytes of a job, or of its idle worker."""
        if is_running:
            return self._master.limit_enforcer.usage_of(worker)
        return (None, None) if worker.pid is None else of_process(worker.pid)

    # Jobs

    def _kill(self, request: KillRequest, ended_by: str, now: float) -> KillReply:
        """End the job of one worker or child, or all that run for `older` seconds."""
        if request.older is None:
            chosen = [self._busy(request.who)]
        else:
            since = now - request.older
            chosen = [w for w in self._pool.workers() if _runs(w, since)]
        ended = []
        for worker in chosen:
            status = worker.scoreboard.read()
            if request.children is None or status.child in request.children:
                ended.append(self._worker(worker, now, with_usage=False))
                job = JobInChild(status.child, status.since)
                ran = show_seconds(max(0.0, now - status.since))
                reason = f"it was ended after {ran} by `resqued kill` ({ended_by})"
                worker.send(EndJob(reason, job=job))
        return KillReply(ended=tuple(ended))

    def _busy(self, who: object) -> WorkerHandle:
        """Return the busy worker that has this id or pid, or whose child has this pid.

        Raises ControlError if no such worker exists, or if it runs no job.
        """
        name = str(who)
        for worker in self._pool.workers():
            child = worker.status().child
            if name in (worker.worker_id, str(worker.pid), str(child or "")):
                if not _runs(worker):
                    raise ControlError(f"worker {worker.name} runs no job")
                return worker
        raise ControlError(
            f"{name} is no worker of this master, and no child of one;"
            " `resqued top` lists them"
        )

    def _stack(self, request: StackRequest, now: float) -> Poll:
        """Make a child write its stacks; answer when two turns read the same lines."""
        worker = self._busy(request.who)
        child = worker.status().child
        worker.scoreboard.clear_stack()
        process.send(child, STACK_SIGNAL)
        before: tuple[str, ...] = ()
        patience = self._pool.timings.dump_patience

        def poll(at: float) -> StackReply | None:
            nonlocal before
            lines = () if worker.is_gone else worker.scoreboard.stack()
            if lines and lines == before:
                return StackReply(worker=worker.worker_id, child=child, stack=lines)
            if at - now > patience:
                reason = "it takes no signals: it is stopped, or they are masked"
                raise ControlError(f"child {child} wrote no stack down; {reason}")
            before = lines
            return None

        return poll

    # The pool

    def _scale(self, request: ScaleRequest) -> ScaleReply:
        """Set the wanted number of workers; `+1` and `-1` change the present number."""
        self._refuse_if_stopping()
        wanted = self._pool.wanted
        pool = wanted.pool_named(request.queues, request.namespace)
        before, text = wanted.counts[pool], str(request.workers)
        count = int(text) + (before if text[:1] in "+-" else 0)
        if not 0 <= count <= MOST_WORKERS:
            raise ControlError(
                f"that would be {count} workers: must be from 0 to {MOST_WORKERS}"
            )
        self._pool.scale(pool, count)
        return ScaleReply(queues=pool.queues, before=before, workers=count)

    def _drain(self, request: DrainRequest) -> DrainReply | Poll:
        """Pause the pool; with `wait`, answer when no job is running."""
        self._pool.pause(is_paused=True)
        if not request.wait:
            return DrainReply()
        began = time.monotonic()

        def poll(at: float) -> DrainReply | None:
            if any(map(_holds, self._pool.workers())):
                return None
            return DrainReply(after=show_seconds(at - began))

        return poll

    def _reload(
        self, peer: Peer, request: ReloadRequest, now: float
    ) -> ReloadReply | Poll | None:
        """Move to a new generation; with `wait`, answer with the result.

        With `master` this program is replaced first, and the new program answers.
        """
        self._refuse_if_stopping()
        if request.master:
            self._master.replace(peer, now)
            return None
        number = self._master.reload(now)
        if not request.wait:
            return ReloadReply(generation=number)
        return self._result_of_reload(number)

    def await_reload(self, peer: Peer, number: int) -> None:
        """Answer a reload when it has ended; an older program received the request."""
        poll = self._result_of_reload(number)
        self._pending.append(PendingReply(peer, "reload", poll))

    def _result_of_reload(self, number: int) -> Poll:
        def poll(_at: float) -> Reply | None:
            result = self._pool.generations.outcomes.newest
            if result is None or result.generation < number:
                return None
            if not result.error:
                return ReloadReply(generation=result.generation, error="")
            reason = f"reload to generation {result.generation} failed: {result.error}"
            return ErrorReply(generation=result.generation, error=reason)

        return poll

    def _refuse_if_stopping(self) -> None:
        if self._pool.is_stopping:
            raise ControlError("this master is about to stop")


def _runs(worker: WorkerHandle, before: float = math.inf) -> bool:
    """Return True if a worker runs a job that began before the time `before`."""
    status = worker.scoreboard.read()
    is_running = status.phase is Phase.RUNNING and bool(status.child)
    return is_running and status.since < before


def _since(worker: WorkerHandle, status: StepRecord) -> float:
    """Return when the phase of a worker began or, if idle, when its last job ended."""
    is_idle = status.phase in (Phase.WAITING, Phase.RESERVING)
    return (is_idle and worker.scoreboard.idle_since()) or status.since


def _holds(worker: WorkerHandle) -> bool:
    """Return True if a worker takes, runs or settles a job."""
    busy = (Phase.RUNNING, Phase.RESERVING, Phase.SETTLING)
    return worker.scoreboard.read().phase in busy


def _limits(worker: WorkerHandle, child: int) -> JobLimits | None:
    """Return the limits of a child's job; None if the scoreboard has none yet."""
    found = worker.scoreboard.limits_of(child)
    return None if found is None else JobLimits(**found._asdict())


def _job_in(title: str) -> PoolJob | None:
    """Return the queue and the class of the job in a child's title, or None."""
    _, found, rest = title.partition(": Processing ")
    queue, since, class_name = rest.rpartition(" since ")
    if not found or not since:
        return None
    name = class_name.partition("[")[2].rstrip("]")
    return PoolJob(queue=queue, class_name=name)
