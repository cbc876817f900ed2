"""The master: keeps the pool as it should be, and loads no application code.

One loop, one wait point: wait, reap, obey, look after what is due, converge. The
workers are its own children, although a zygote forks them; it buries the dead,
wakes the idle, ends what exceeds its limits, and passes signals on as orders.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from resqued.config.loader import Config
from resqued.control import sockets
from resqued.control.server import Control, Peer
from resqued.core import lifecycle
from resqued.core.lifecycle import Event, State
from resqued.errors import ConfigError, ExitCode, ResquedError
from resqued.log import logfile, logger
from resqued.master.control_handlers import CommandHandlers
from resqued.master.limit_enforcer import LimitEnforcer
from resqued.master.pool import Pool
from resqued.master.pool_status import pool_status_of
from resqued.master.queue_watcher import QueueWatcher
from resqued.master.reclaimer import Reclaimer
from resqued.master.reexec import HandoffState, Reexec
from resqued.store.connection import SingleLink
from resqued.store.queue_tracking import QueueTracking
from resqued.store.registry import Registry
from resqued.system import prctl, process, signals
from resqued.system.pidfile import PidFile
from resqued.system.signals import SignalInbox
from resqued.systemd.notify import Notifier
from resqued.wire import queue_list, titles
from resqued.wire.keys import Keys

EVENTS = {
    signal.SIGQUIT: Event.QUIT,
    signal.SIGTERM: Event.TERMINATE,
    signal.SIGINT: Event.TERMINATE,
}
# Beyond its own graces a worker that was told to terminate has no reason to live.
STOP_SLACK = 10.0
# How often to see whether what somebody waits for has come about.
PENDING_POLL = 0.05


class MasterFiles(NamedTuple):
    """The files that a master keeps, each of which it can do without."""

    pid_file: PidFile | None = None
    log_file: Path | None = None


class Supervisor:
    """Runs in the master. `reread` answers the configuration as it is now.

    With an `handoff` it goes on where the program before it stopped. `on_ready` is
    called once, when every slot has registered a worker.
    """

    def __init__(
        self,
        config: Config,
        reread: Callable[[], Config],
        handoff: HandoffState | None = None,
        *,
        on_ready: Callable[[], None] = lambda: None,
        files: MasterFiles = MasterFiles(),  # noqa: B008 - a value
    ) -> None:
        self._config = config
        self._log_file = files.log_file
        self._on_ready: Callable[[], None] | None = None if handoff else on_ready
        self._reread = reread
        self._handoff = handoff
        app = config.app
        self._log = logger.get(role="master", pid=os.getpid())
        # The master must hear signals: it waits less than others for Redis.
        patience = min(1.0, app.redis_timeout)
        self._link = SingleLink(app.url, timeout=patience)
        registry = Registry(self._link, Keys(app.namespace))
        self._undertaker = Reclaimer(registry, id_of(config), self._log)
        watch = QueueTracking(app.url, Keys(app.namespace), timeout=patience)
        self._queue_watcher = QueueWatcher(watch, config.interval, self._log)
        self.pool = Pool(
            config,
            home(os.environ.get("PWD", "")),
            self._undertaker,
            self._log,
            poll_now=self._queue_watcher.poll_now,
        )
        self.limit_enforcer = LimitEnforcer(app, self._log)
        self.state = State.RUNNING
        self.began = time.monotonic()
        self._handlers = CommandHandlers(self, self._log)
        place = sockets.directory(config.control, os.environ)
        self._control = Control(place, self._handlers.handle, self._log)
        self._reexec = Reexec(self.pool, self._control, self._log, files.pid_file)
        self._notifier = Notifier(os.environ, os.getpid())
        self._kill_at: float | None = None
        self._reclaim_by: float | None = None

    def check(self) -> None:
        """See that this program could take over; raise ConfigError if it could not."""
        assert self._handoff is not None, "there is something to take over"
        before = Config.from_dict(self._handoff.values["pool"]["current"]["config"])
        refuse_changes(before, self._config)

    def run(self) -> ExitCode:
        """Keep the pool until told to stop.

        Raises StoreError if Redis cannot be reached at the start, ConfigError if
        the application cannot be imported, StartError if no worker ever starts.
        """
        self._inbox = SignalInbox()
        process.reserve_title_space()
        prctl.become_subreaper()
        if self._handoff is None:
            self._link.ping()
            self._control.open()
            self._log.info("master_started", workers=self._config.workers)
        else:
            self._resume(self._handoff)
        try:
            while self.state is not State.STOPPED:
                self._turn(time.monotonic())
        except Exception:  # the loop guard: nothing is known to be right any more
            self._log.exception("master_failed")
            return ExitCode.INTERNAL
        finally:
            self._end()
        if self.pool.generations.failure is not None:
            raise self.pool.generations.failure
        self._log.info("master_stopped")
        return ExitCode.OK

    def _turn(self, now: float) -> None:
        """Make what runs equal what is wanted, and wait for what comes."""
        self.pool.converge(now)
        # What a new generation is configured for holds for the master, too.
        self._config = self.pool.generations.incumbent.config
        self._queue_watcher.interval = self._config.interval
        if self.pool.generations.failure is not None:
            self.change_state(Event.TERMINATE, now)
        elif self.pool.is_done and self.state is State.RUNNING:
            self.change_state(Event.QUIT, now)
        self._stop_if_over(now)
        self._undertaker.turn(now)
        self._queue_watcher.turn(now, self.pool.serving())
        self.limit_enforcer.least_memory = self.pool.generations.current.least_memory
        generations = self.pool.generations.all()
        self.limit_enforcer.set_settings(
            generation.config.app for generation in generations
        )
        self.limit_enforcer.turn(now, self.pool.workers())
        if self.pool.was_ready and self._on_ready is not None:
            on_ready, self._on_ready = self._on_ready, None
            on_ready()
        self._handlers.turn(now)
        self._reexec.turn(now, may_go=self._may_go())
        self._show(now)
        self._wait(now)

    # Stopping

    def change_state(self, event: Event, now: float) -> None:
        """Take note of an event; what follows is the table's to say."""
        before, self.state = self.state, lifecycle.step(self.state, event)
        if self.state is before:
            return
        self._log.info("state_changed", state=self.state.value)
        if self.state is State.TERMINATING:
            app = self._config.app
            self._kill_at = now + app.grace + app.settle_grace + STOP_SLACK
        self.pool.stop("quit" if self.state is State.QUITTING else "interrupt")

    def _stop_if_over(self, now: float) -> None:
        if self.state is not State.RUNNING and not self.pool.workers():
            # The last reclaims wait for a Redis that is away, but not for ever.
            grace = self._config.app.settle_grace
            self._reclaim_by = self._reclaim_by or now + grace
        if self._is_empty(now) or (self._kill_at is not None and now >= self._kill_at):
            self._stop(now)

    def _is_empty(self, now: float) -> bool:
        """Say whether there is nobody left to wait for."""
        is_hopeless = self._reclaim_by is not None and now >= self._reclaim_by
        return not self.pool.workers() and (not self._undertaker.is_busy or is_hopeless)

    def _stop(self, now: float) -> None:
        """Every worker has gone, or has had its time."""
        workers = self.pool.workers()
        for worker in workers:
            if worker.pid is not None:
                self._log.error("worker_killed", worker=worker.worker_id)
                process.send(worker.pid, signal.SIGKILL)
        if workers:
            self._kill_at = now + 1.0
            return
        if self.state is not State.RUNNING and self._undertaker.is_busy:
            self._log.error("workers_not_reclaimed", reason="redis is away")
        self.state = lifecycle.step(self.state, Event.EMPTY)

    # Reload

    def reload(self, now: float) -> int:
        """Reopen the log, read the configuration and begin a new generation of it.

        Answers its number; whatever is wrong is told as the result of the reload.
        """
        self._reopen_log()
        try:
            config = self._reread()
            refuse_changes(self._config, config)
        except ResquedError as error:
            return self.pool.generations.refuse_configuration(error)
        return self.pool.reload(config, now)

    def _reopen_log(self) -> None:
        """Write to the file of that name, whatever has become of the one before.

        First of all the master does, which makes the file if it is not there; if it
        cannot, everybody goes on with the old one.
        """
        path = self._log_file
        if path is not None and logfile.follow(path, self._log):
            self._log.info("log_reopened", file=str(path))
            self.pool.reopen_log(str(path))

    # Replacing the master

    def replace(self, asker: Peer, now: float) -> None:
        """Go over to the program as it is now, once it has shown that it can."""
        self._reexec.begin(asker, os.environ, now)

    def _may_go(self) -> bool:
        is_running = self.state is State.RUNNING
        return is_running and self.pool.is_settled and not self._undertaker.is_busy

    def _resume(self, handoff: HandoffState) -> None:
        """Go on with the workers that are there, and give them new code too."""
        values = handoff.values
        self.pool.resume(values["pool"])
        asker = self._control.resume(values["control"], values["asker"])
        self._log.info("master_resumed", workers=len(self.pool.workers()))
        number = self.reload(time.monotonic())
        if asker is not None:
            self._handlers.await_reload(asker, number)

    # Signals

    def _obey(self, received: signals.Received, now: float) -> None:
        if received.signum == signal.SIGCHLD:
            for pid, how in process.reap():
                self.pool.died(pid, how, now)
                self._reexec.ended(pid, how)
            return
        signum = signal.Signals(received.signum)
        sent_by = process.describe(received.sender, received.uid)
        self._log.info("signal_received", signal=signum.name, sent_by=sent_by)
        match signum:
            case signal.SIGTERM if self._config.app.graceful_term:
                self.change_state(Event.QUIT, now)
            case signal.SIGQUIT | signal.SIGTERM | signal.SIGINT:
                self.change_state(EVENTS[signum], now)
            case signal.SIGUSR1:
                for worker in self.pool.workers():
                    worker.order("drop")
            case signal.SIGUSR2 | signal.SIGCONT:
                self.pool.pause(is_paused=signum is signal.SIGUSR2)
            case signal.SIGHUP if not self.pool.is_stopping:
                self.reload(now)
            case signal.SIGTTIN | signal.SIGTTOU if not self.pool.is_stopping:
                self._resize(1 if signum is signal.SIGTTIN else -1)

    def _resize(self, change: int) -> None:
        """One worker more or fewer, on the first of the queue lists."""
        name, workers = next(iter(self.pool.wanted.items()))
        self.pool.scale(name, max(0, workers + change))

    # Waiting, showing

    def _wait(self, now: float) -> None:
        """The one wait point of the master."""
        poll = select.poll()
        waiting = {**self.pool.descriptors(), **self._control.descriptors()}
        watched = self._queue_watcher.fileno()
        if watched is not None:
            waiting[watched] = self._queue_watcher.hear
        for fd in (self._inbox.fileno(), *waiting):
            poll.register(fd, select.POLLIN)
        for fd, events in self._control.events().items():
            poll.register(fd, events)
        ready = {fd for fd, _ in poll.poll(self._timeout(now))}
        now = time.monotonic()
        # Messages first: a worker that died may have said why.
        for fd, hear in waiting.items():
            if fd in ready:
                hear(now)
        for received in merged(self._inbox.drain()):
            self._obey(received, now)

    def _timeout(self, now: float) -> float:
        """Return the milliseconds until something is due."""
        workers = self.pool.workers()
        # Only these are woken: one that leaves, or is held back, waits for no job.
        idle = sum(worker.is_idle for worker in self.pool.serving())
        deadlines = [
            self._undertaker.deadline(now),
            self._queue_watcher.deadline(idle),
            self.limit_enforcer.deadline(is_anybody_busy=idle < len(workers)),
            self.pool.deadline(now),
            self._kill_at,
            self._reclaim_by,
            self._reexec.deadline(),
            self._notifier.deadline(),
            now + PENDING_POLL
            if self._handlers.are_waited_for or self._reexec.is_due
            else None,
        ]
        if self.state is not State.RUNNING and self._is_empty(now):
            return 0.0
        due = min(deadline for deadline in deadlines if deadline is not None)
        return max(0.0, due - now) * 1000 + 0.5

    def _show(self, now: float) -> None:
        is_stopping = self.state is not State.RUNNING
        status = pool_status_of(self.pool, now, is_stopping=is_stopping)
        title = titles.master(
            generation=status.generation,
            workers=status.workers,
            wanted=status.wanted,
            busy=status.busy,
            older=status.older,
        )
        process.set_title(title)
        self._notifier.turn(now, status)

    def _end(self) -> None:
        """Leave no process behind.

        Signals stay held back, for good: the interpreter gives them their default
        action as it shuts down, and a second SIGTERM would turn a good end into a
        death.
        """
        self.pool.generations.close()
        # Workers that are left, after an error of ours, become orphans: they
        # settle their jobs themselves, and leave.
        self._queue_watcher.close()
        self._link.close()
        self._control.close()
        self._inbox.close()


def merged(received: Sequence[signals.Received]) -> list[signals.Received]:
    """Return the signals in order, each once: two reloads are one."""
    return list({each.signum: each for each in received}.values())


def id_of(config: Config) -> str:
    """Return what this master calls itself in Redis: an id as workers have them."""
    host = process.host_in_ids(config.app.hostname)
    names = (queue_list.parse(pool.queues).name for pool in config.pools)
    return f"{host}:{os.getpid()}:{','.join(dict.fromkeys(names))}"


def home(shell: str) -> str:
    """Return the directory to start each generation in, as the shell names it.

    Where that leads through a symlink, the next generation finds what the link
    means then.
    """
    here = str(Path.cwd())
    try:
        return shell if shell and Path(shell).samefile(here) else here
    except OSError:
        return here


def refuse_changes(old: Config, new: Config) -> None:
    """Raise ConfigError for what only a restart can change."""
    pairs = (
        ("[redis] url", old.app.url, new.app.url),
        ("[redis] namespace", old.app.namespace, new.app.namespace),
        ("[worker] hostname", old.app.hostname, new.app.hostname),
        ("[control] directory", old.control, new.control),
        ("[daemon] or [log] file", old.daemon, new.daemon),
    )
    changed = [name for name, before, after in pairs if before != after]
    if changed:
        raise ConfigError(
            f"{' and '.join(changed)} cannot change while the master runs: restart it"
        )
