"""The master: keeps the pool as it should be, and loads no application code.

One loop, one wait point: wait, reap, obey, look after what is due, converge. The
workers are its own children, although a zygote forks them; it buries the dead,
wakes the idle, and passes signals on as orders.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sys
import time

from resqued import log, process, signals
from resqued.board import Board, Phase, Status
from resqued.channel import Channel, ChannelClosed
from resqued.config import Config
from resqued.core import lifecycle, queues, titles
from resqued.core.backoff import Backoff
from resqued.core.keys import Keys
from resqued.core.lifecycle import Event, State
from resqued.core.outcome import Exit
from resqued.errors import ConfigError, ExitCode, StartError
from resqued.family import Family
from resqued.lookout import Lookout
from resqued.process import Pid
from resqued.signals import HANDLED, SignalInbox
from resqued.slot import Slot, WorkerHandle, died_young
from resqued.store.connection import SingleLink
from resqued.store.registry import Registry
from resqued.store.watch import Watch
from resqued.undertaker import Dead, Undertaker

ORDERS = {
    signal.SIGUSR1: "drop",
    signal.SIGUSR2: "pause",
    signal.SIGCONT: "resume",
}
EVENTS = {
    signal.SIGQUIT: Event.QUIT,
    signal.SIGTERM: Event.TERMINATE,
    signal.SIGINT: Event.TERMINATE,
}
# How often to see that everybody makes progress.
ROUND = 5.0
# So many deaths in a row without one worker that ever got ready are no accident.
HOPELESS = 5
# Beyond its own graces a worker that was told to terminate has no reason to live.
STOP_SLACK = 10.0


# Characters for the titles of the zygote, the workers and the children.
TITLE_ROOM = 400


class Zygote:
    """What the master holds of its zygote."""

    def __init__(self, config: Config) -> None:
        ours, theirs = Channel.pair()
        self.channel = ours
        self.is_ready = False
        self.pid = process.spawn(
            # What ps shows must fit where the arguments were (see process).
            [sys.executable, "-P", "-m", "resqued.zygote", "3", " " * TITLE_ROOM],
            descriptor=theirs.fileno(),
            environment=dict(os.environ),
        )
        theirs.close()
        ours.send(
            "start",
            config.app.as_dict(),
            {"level": config.log_level, "style": config.log_format},
        )


class Supervisor:
    """Runs in the master."""

    def __init__(self, config: Config) -> None:
        self._config = config
        app = config.app
        self._log = log.get(role="master", pid=os.getpid())
        self._slots = [
            Slot(queues.parse(pool.queues), pool.queues)
            for pool in config.pools
            for _ in range(pool.workers)
        ]
        keys = Keys(app.namespace)
        # The master must hear signals: it waits less than others for Redis.
        patience = min(1.0, app.redis_timeout)
        self._link = SingleLink(app.url, timeout=patience)
        host = (app.hostname or process.hostname()).replace(":", "-")
        lists = ",".join(dict.fromkeys(slot.queues.name for slot in self._slots))
        self._undertaker = Undertaker(
            Registry(self._link, keys), f"{host}:{os.getpid()}:{lists}", self._log
        )
        watch = Watch(app.url, keys, timeout=patience)
        self._lookout = Lookout(watch, config.interval, self._log)
        self._state = State.RUNNING
        self._zygote: Zygote | None = None
        self._zygote_backoff = Backoff(first=0.1, cap=30.0)
        self._is_paused = False
        self._was_ready = False
        self._deaths = 0
        self._kill_at: float | None = None
        self._bury_by: float | None = None
        self._round_at = 0.0
        self._failure: Exception | None = None

    def run(self) -> ExitCode:
        """Keep the pool until told to stop.

        Raises StoreError if Redis cannot be reached at the start, ConfigError if
        the application cannot be imported, StartError if no worker ever starts.
        """
        self._inbox = SignalInbox(HANDLED)
        process.become_subreaper()
        self._link.ping()
        self._log.info("master_started", workers=len(self._slots))
        try:
            while self._state is not State.STOPPED:
                now = time.monotonic()
                self._converge(now)
                self._undertaker.turn(now)
                self._lookout.turn(now, self._slots)
                self._inspect(now)
                self._show()
                self._wait(now)
        except Exception:  # the loop guard: nothing is known to be right any more
            self._log.exception("master_failed")
            return ExitCode.INTERNAL
        finally:
            self._end()
        if self._failure is not None:
            raise self._failure
        self._log.info("master_stopped")
        return ExitCode.OK

    # Making what runs equal what is wanted

    def _converge(self, now: float) -> None:
        if self._state is State.RUNNING:
            self._keep_zygote(now)
            for slot in self._slots:
                if self._is_vacant(slot) and now >= slot.backoff.ready_at:
                    self._spawn(slot, now)
            if all(slot.is_done for slot in self._slots):
                self._change_state(Event.QUIT, now)
        if self._state is not State.RUNNING and not self._workers():
            # The last burials wait for a Redis that is away, but not for ever.
            grace = self._config.app.settle_grace
            self._bury_by = self._bury_by or now + grace
        if self._is_empty(now) or (self._kill_at is not None and now >= self._kill_at):
            self._stop(now)

    def _is_empty(self, now: float) -> bool:
        """Say whether there is nobody left to wait for."""
        is_hopeless = self._bury_by is not None and now >= self._bury_by
        return not self._workers() and (not self._undertaker.is_busy or is_hopeless)

    def _is_vacant(self, slot: Slot) -> bool:
        is_ready = self._zygote is not None and self._zygote.is_ready
        return slot.worker is None and not slot.is_done and is_ready

    def _stop(self, now: float) -> None:
        """Every worker has gone, or has had its time."""
        workers = self._workers()
        for worker in workers:
            if worker.pid is not None:
                self._log.error("worker_killed", worker=worker.worker_id)
                process.send(worker.pid, signal.SIGKILL)
        if workers:
            self._kill_at = now + 1.0
            return
        if self._undertaker.is_busy:
            self._log.error("workers_unburied", reason="redis is away")
        self._state = lifecycle.step(self._state, Event.EMPTY)

    def _keep_zygote(self, now: float) -> None:
        if self._zygote is None and now >= self._zygote_backoff.ready_at:
            self._zygote = Zygote(self._config)

    def _spawn(self, slot: Slot, now: float) -> None:
        """Have the zygote fork a worker, joined to us by a channel and a board."""
        assert self._zygote is not None, "asked of a vacant slot only"
        ours, theirs = Channel.pair()
        board = Board.create()
        slot.worker = WorkerHandle(ours, board, spawned_at=now)
        try:
            self._zygote.channel.send(
                "spawn",
                slot.text,
                # At once: an order would come after the worker's first job.
                self._is_paused,
                descriptors=[theirs.fileno(), board.fd],
            )
        except ChannelClosed:
            # It has died; its exit status arrives in a moment.
            slot.worker.close()
            slot.worker = None
        theirs.close()

    # Zygote and workers, as they report

    def _hear_zygote(self, now: float) -> None:
        assert self._zygote is not None, "its descriptor was waited on"
        try:
            for kind, value in self._zygote.channel.messages():
                if kind == "ready":
                    self._zygote.is_ready = True
                    self._zygote_backoff = self._zygote_backoff.succeeded()
                    if value:
                        self._log.warning("application_has_threads", threads=value)
                elif kind == "failed":
                    self._give_up(ConfigError(value), now)
        except ChannelClosed:
            self._lose_zygote(now)

    def _lose_zygote(self, now: float) -> None:
        """It died. The workers live on; without it no new ones can be made."""
        assert self._zygote is not None, "asked about the one there is"
        self._zygote.channel.close()
        process.send(self._zygote.pid, signal.SIGKILL)
        if self._failure is None and self._state is State.RUNNING:
            self._log.error("zygote_died", pid=self._zygote.pid)
        self._zygote = None
        self._zygote_backoff = self._zygote_backoff.failed(now, random.random())
        if not self._was_ready and self._zygote_backoff.failures >= HOPELESS:
            self._give_up(StartError("the zygote dies whenever it is started"), now)

    def _hear_worker(self, slot: Slot, now: float) -> None:
        worker = slot.worker
        assert worker is not None, "its descriptor was waited on"
        try:
            for kind, *values in worker.channel.messages():
                self._note(worker, kind, values)
        except ChannelClosed:
            if worker.pid is None:
                self._bereave(slot, Exit(1), now)
            else:
                # Its death follows; if it does not, the next round sees to it.
                worker.channel.close()
                worker.closed_at = now

    def _note(self, worker: WorkerHandle, kind: str, values: list[object]) -> None:
        if kind == "hello":
            pid, worker.worker_id, worker.identity = values  # type: ignore[assignment]
            worker.pid = Pid(pid)  # type: ignore[arg-type]
            self._log.info("worker_spawned", worker=worker.worker_id)
        elif kind == "ready":
            worker.is_ready = True
            self._deaths = 0
            if not self._was_ready and all(
                s.is_done or (s.worker and s.worker.is_ready) for s in self._slots
            ):
                self._was_ready = True
                self._log.info("master_ready", workers=len(self._workers()))
        elif kind == "idle":
            worker.is_idle = True
            self._lookout.expect()
        elif kind == "taken":
            worker.is_taken = True
            self._undertaker.prune_soon()

    def _reap(self, now: float) -> None:
        slots = {slot.worker.pid: slot for slot in self._slots if slot.worker}
        for pid, how in process.reap():
            if self._zygote is not None and pid == self._zygote.pid:
                self._hear_zygote(now)
                if self._zygote is not None:
                    self._lose_zygote(now)
            elif pid in slots:
                self._bereave(slots[pid], how, now)
            # Else a process that a job left behind: reaped, and forgotten.

    def _bereave(self, slot: Slot, how: Exit, now: float) -> None:
        """A worker has died: settle its affairs, and see when to replace it."""
        worker = slot.worker
        assert worker is not None, "only a worker can die"
        status = worker.board.read()
        is_clean = how.code == 0 and not worker.is_taken
        if worker.worker_id:
            self._undertaker.receive(
                Dead(worker.worker_id, worker.identity, how, self._leftovers(status))
            )
        slot.worker = None
        worker.close()
        if is_clean:
            self._log.info("worker_exited", worker=worker.worker_id)
            slot.is_done = self._config.app.burst
            return
        name = worker.worker_id or "(not known yet)"
        self._log.warning("worker_died", worker=name, reason=str(how))
        if not died_young(worker, status, how, now):
            slot.backoff = slot.backoff.succeeded()
            return
        slot.backoff = slot.backoff.failed(now, random.random())
        self._deaths += not worker.is_taken
        if not self._was_ready and self._deaths >= HOPELESS:
            self._give_up(
                StartError(f"{HOPELESS} workers in a row died at start, last of {how}"),
                now,
            )

    def _leftovers(self, status: Status) -> Family | None:
        """Return what is left of a dead worker's job: its child, and its children."""
        if not status.child:
            return None
        family = Family(status.child, spared=self._spared, since=status.began)
        family.send(signal.SIGKILL)
        return family

    def _spared(self) -> set[int] | None:
        """Return our workers and zygote; None while one has not said its name."""
        pids = {worker.pid for worker in self._workers()}
        if self._zygote is not None:
            pids.add(self._zygote.pid)
        return None if None in pids else {pid for pid in pids if pid is not None}

    # Signals

    def _obey(self, signum: signal.Signals, now: float) -> None:
        if signum is signal.SIGCHLD:
            self._reap(now)
            return
        self._log.info("signal_received", signal=signum.name)
        if signum in EVENTS:
            self._change_state(self._event_of(signum), now)
        elif signum in ORDERS:
            order = ORDERS[signum]
            self._is_paused = order == "pause" or (self._is_paused and order == "drop")
            self._order_all(order)
        else:
            self._log.warning("signal_ignored", signal=signum.name)

    def _event_of(self, signum: signal.Signals) -> Event:
        if signum is signal.SIGTERM and self._config.app.graceful_term:
            return Event.QUIT
        return EVENTS[signum]

    def _change_state(self, event: Event, now: float) -> None:
        before, self._state = self._state, lifecycle.step(self._state, event)
        if self._state is before:
            return
        self._log.info("state_changed", state=self._state.value)
        if self._state is State.TERMINATING:
            app = self._config.app
            self._kill_at = now + app.grace + app.settle_grace + STOP_SLACK
        self._order_all("quit" if self._state is State.QUITTING else "interrupt")

    def _order_all(self, order: str) -> None:
        for worker in self._workers():
            worker.order(order)

    def _give_up(self, error: Exception, now: float) -> None:
        """End the pool because it can never be."""
        self._failure = self._failure or error
        self._change_state(Event.TERMINATE, now)

    # Waiting, watching, showing

    def _workers(self) -> list[WorkerHandle]:
        return [slot.worker for slot in self._slots if slot.worker is not None]

    def _wait(self, now: float) -> None:
        """The one wait point of the master."""
        poll = select.poll()
        waiting = self._descriptors()
        for fd in waiting:
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(self._timeout(now))}
        now = time.monotonic()
        # Messages first: a worker that died may have said why.
        for fd, who in waiting.items():
            if fd in ready and isinstance(who, Slot) and who.worker is not None:
                self._hear_worker(who, now)
            elif fd in ready and isinstance(who, Zygote) and who is self._zygote:
                self._hear_zygote(now)
            elif fd in ready and isinstance(who, Lookout):
                who.hear(now)
        for signum in map(signal.Signals, self._inbox.drain()):
            self._obey(signum, now)

    def _descriptors(self) -> dict[int, object]:
        found: dict[int, object] = {self._inbox.fileno(): self._inbox}
        if self._zygote is not None:
            found[self._zygote.channel.fileno()] = self._zygote
        for slot in self._slots:
            if slot.worker is not None and slot.worker.channel.fileno() >= 0:
                found[slot.worker.channel.fileno()] = slot
        watched = self._lookout.fileno()
        if watched is not None:
            found[watched] = self._lookout
        return found

    def _timeout(self, now: float) -> float:
        """Return the milliseconds until something is due."""
        idle = sum(worker.is_idle for worker in self._workers())
        deadlines = [
            self._round_at,
            self._undertaker.deadline(now),
            self._lookout.deadline(idle),
            self._kill_at,
            self._bury_by,
        ]
        if self._state is not State.RUNNING and self._is_empty(now):
            return 0.0
        if self._state is State.RUNNING:
            deadlines += [s.backoff.ready_at for s in self._slots if self._is_vacant(s)]
            if self._zygote is None:
                deadlines.append(self._zygote_backoff.ready_at)
        due = min(deadline for deadline in deadlines if deadline is not None)
        return max(0.0, due - now) * 1000 + 0.5

    def _inspect(self, now: float) -> None:
        """Now and then, see that every worker makes progress."""
        if now < self._round_at:
            return
        self._round_at = now + ROUND
        for worker in self._workers():
            if worker.is_stuck(now, self._config.app.heartbeat):
                self._log.error("worker_stuck", worker=worker.worker_id)
                if worker.pid is not None:
                    process.send(worker.pid, signal.SIGKILL)
                else:
                    worker.channel.close()

    def _show(self) -> None:
        workers = self._workers()
        title = titles.master(
            generation=self._config.app.generation,
            workers=sum(worker.is_ready for worker in workers),
            wanted=len(self._slots),
            busy=sum(
                not w.is_idle and w.board.read().phase is Phase.RUNNING for w in workers
            ),
        )
        process.set_title(title)

    def _end(self) -> None:
        """Leave no process behind.

        Signals are held back from here on, for good: the interpreter gives them
        their default action as it shuts down, and a second SIGTERM would turn a
        good end into a death.
        """
        signals.block()
        if self._zygote is not None:
            self._zygote.channel.close()
            process.send(self._zygote.pid, signal.SIGKILL)
        # Workers that are left, after an error of ours, become orphans: they
        # settle their jobs themselves, and leave.
        self._lookout.close()
        self._link.close()
        self._inbox.close()
