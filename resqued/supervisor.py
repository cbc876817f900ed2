"""The master: keeps the wanted workers running, and imports no application code.

One loop waits, reaps, obeys signals and requests, and calls each part. The workers are
children of the master, although a zygote forks them. The master reclaims the jobs of
dead workers, wakes idle workers, ends jobs that exceed their limits, and forwards
signals as orders.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from resqued.config.changes import refuse_changes
from resqued.config.loader import Config
from resqued.control import sockets
from resqued.control.protocol import encode_reply
from resqued.control.server import ControlServer, Peer
from resqued.core import lifecycle
from resqued.core.lifecycle import Event, State, Stop
from resqued.core.timings import NEVER
from resqued.errors import ControlError, ExitCode, ResquedError
from resqued.log import logfile, logger
from resqued.master.control_handlers import CommandHandlers
from resqued.master.generations import GenerationManager
from resqued.master.handoff import HandoffState
from resqued.master.limit_enforcer import LimitEnforcer
from resqued.master.master_facts import master_facts
from resqued.master.namespace_parts import ServedNamespaces
from resqued.master.part import Part
from resqued.master.pool import TERMINATED, Pool
from resqued.master.pool_status import StatusPublisher
from resqued.master.reexec import Reexec
from resqued.system import (
    prctl,
    process,
    signals,
    system_calls,
    working_directory,
)
from resqued.system.pidfile import PidFile
from resqued.system.poller import Poller
from resqued.system.signals import SignalInbox
from resqued.systemd.notify import Notifier
from resqued.wire import queue_list

EVENTS = {
    signal.SIGQUIT: Event.QUIT,
    signal.SIGTERM: Event.TERMINATE,
    signal.SIGINT: Event.TERMINATE,
}
# The error of a job that was ended because a graceful stop took too long.
LATE = "its worker was told to finish, and stop_timeout has passed"


class MasterFiles(NamedTuple):
    """The files that a master keeps open; each is optional."""

    pid_file: PidFile | None = None
    log_file: Path | None = None


class Supervisor:
    """The master. `reread` returns the configuration as it is at the call.

    `resumes` is the state from the older program of this master, or None. `on_ready`
    is called once, when every slot has registered a worker; never with `resumes`.
    """

    def __init__(
        self,
        config: Config,
        reread: Callable[[], Config],
        resumes: HandoffState | None = None,
        *,
        on_ready: Callable[[], None] = lambda: None,
        files: MasterFiles = MasterFiles(),  # noqa: B008 - a value
    ) -> None:
        self._log_file, self._resumes, self._reread = files.log_file, resumes, reread
        self._on_ready: Callable[[], None] | None = None if resumes else on_ready
        self._log = log = logger.get(role="master", pid=os.getpid())
        self._poller, self.state, self.began = Poller(), State.RUNNING, time.monotonic()
        self._terminate_at = self._kill_at = self._reclaim_by = NEVER
        directory = working_directory.home(os.environ.get("PWD", ""))
        generations = GenerationManager(config, directory, self._poller, log)
        self.namespaces = ServedNamespaces(
            generations, id_of(config), self._poller, log
        )
        self.pool = Pool(generations, self.namespaces, self._poller, log)
        self.namespaces.facts = partial(master_facts, self)
        self._handlers = CommandHandlers(self, self._log)
        self.namespaces.status = self._status
        place = sockets.directory(config.control, os.environ)
        self._control = ControlServer(place, self._handlers.handle, self._poller, log)
        self._reexec = Reexec(
            self.pool, self._control, files.pid_file, log, self._may_replace
        )
        self.limit_enforcer = LimitEnforcer(generations, self.pool.workers, log)
        self._publisher = StatusPublisher(self, Notifier(os.environ, os.getpid()))
        self._parts: tuple[Part, ...] = (
            self.namespaces,
            self.limit_enforcer,
            self._handlers,
            self._control,
            self._reexec,
            self._publisher,
        )

    @property
    def is_stopping(self) -> bool:
        """Whether the master has an order to stop."""
        return self.state is not State.RUNNING

    @property
    def _config(self) -> Config:
        """The configuration that applies: that of the incumbent generation."""
        return self.pool.generations.incumbent.config

    def run(self) -> ExitCode:
        """Run the master until it is ordered to stop; return the exit code.

        Raises StoreError if Redis cannot be reached at the start, ConfigError if
        the application cannot be imported or the kernel refuses a system call,
        StartError if no worker ever starts.
        """
        system_calls.require()
        self._inbox = SignalInbox()
        self._poller.register(self._inbox.fileno(), self._take_signals)
        process.reserve_title_space()
        prctl.become_subreaper()
        if self._resumes is None:
            self.namespaces.check_servers()
            self._control.open()
            self._log.info("master_started", workers=self._config.workers)
        else:
            self._resume(self._resumes)
        try:
            while self.state is not State.STOPPED:
                self._turn(time.monotonic())
        except Exception:  # the state may be inconsistent, so the master ends
            self._log.exception("master_failed")
            return ExitCode.INTERNAL
        finally:
            self._end()
        if self.pool.generations.failure is not None:
            raise self.pool.generations.failure
        self._log.info("master_stopped")
        return ExitCode.OK

    def _turn(self, now: float) -> None:
        """Call the pool and each part, and wait for the next event."""
        self.pool.turn(now)
        if self.pool.generations.failure is not None:
            self.change_state(Event.TERMINATE, now)
        elif self.pool.is_done and self.state is State.RUNNING:
            self.change_state(Event.QUIT, now)
        self._stop_if_over(now)
        if self.pool.was_ready and self._on_ready is not None:
            on_ready, self._on_ready = self._on_ready, None
            on_ready()
        for part in self._parts:
            part.turn(now)
        self._wait(now)

    # Stopping

    def change_state(self, event: Event, now: float) -> None:
        """Change the state after an event, as the table in core.lifecycle says."""
        before, self.state = self.state, lifecycle.step(self.state, event)
        if self.state is before:
            return
        self._log.info("state_changed", state=self.state.value)
        app = self._config.app
        if self.state is State.QUITTING:
            self._terminate_at = now + app.stop_timeout if app.stop_timeout else NEVER
            self.pool.stop(Stop.QUIT)
        elif self.state is State.TERMINATING:
            is_late = now >= self._terminate_at
            self._terminate_at = NEVER
            slack = app.timings.stop_slack
            self._kill_at = now + app.grace + app.settle_grace + slack
            self.pool.stop(Stop.TERMINATE, LATE if is_late else TERMINATED)

    def _stop_if_over(self, now: float) -> None:
        if now >= self._terminate_at:
            seconds = self._config.app.stop_timeout
            self._log.warning("stop_timeout_exceeded", seconds=seconds)
            self.change_state(Event.TERMINATE, now)
        if self.state is not State.RUNNING and not self.pool.workers():
            # Reclaiming waits for a Redis that is away, for `settle_grace` seconds.
            grace = self._config.app.settle_grace
            self._reclaim_by = min(self._reclaim_by, now + grace)
        if self._is_empty(now) or now >= self._kill_at:
            self._stop(now)

    def _is_empty(self, now: float) -> bool:
        """Return True if no process and no dead worker is left to wait for."""
        is_hopeless = now >= self._reclaim_by
        return not self.pool.workers() and (not self.namespaces.is_busy or is_hopeless)

    def _stop(self, now: float) -> None:
        """Finish the stop: every worker has exited or was killed."""
        workers = self.pool.workers()
        for worker in workers:
            if worker.pid is not None:
                self._log.error("worker_killed", worker=worker.worker_id)
                process.send(worker.pid, signal.SIGKILL)
        if workers:
            self._kill_at = now + 1.0
            return
        if self.state is not State.RUNNING and self.namespaces.is_busy:
            self._log.error("workers_not_reclaimed", reason="redis is away")
        self.state = lifecycle.step(self.state, Event.EMPTY)

    # Reload

    def reload(self, now: float) -> int:
        """Reopen the log, read the configuration and begin a new generation.

        Returns the number of the generation; an error becomes the result of the reload.
        """
        self._reopen_log()
        try:
            config = self._reread()
            refuse_changes(self._config, config)
            self.namespaces.refuse_unusable(config)
        except ResquedError as error:
            return self.pool.generations.refuse_configuration(error)
        return self.pool.reload(config, now)

    def reopen_log(self) -> None:
        """Reopen the log file; raise ControlError if that is not possible."""
        if self._log_file is None:
            raise ControlError("there is no log file: the log goes to standard error")
        if not self._reopen_log():
            raise ControlError(f"{self._log_file} cannot be opened; the log says why")

    def _reopen_log(self) -> bool:
        path = self._log_file
        # The master comes first: if it fails, all processes keep the old file.
        if path is None or not logfile.follow(path, self._log):
            return False
        self._log.info("log_reopened", file=str(path))
        self.pool.reopen_log(str(path))
        return True

    def _status(self, now: float) -> bytes:
        """Return the status of the master, as the control socket sends it."""
        return encode_reply(self._handlers.status(now, with_usage=True)).rstrip()

    # Replacing the master

    def replace(self, asker: Peer, now: float) -> None:
        """Begin the dry run of the present program, which then replaces this one."""
        self._reexec.begin(asker, os.environ, now)

    def _may_replace(self) -> bool:
        is_running = self.state is State.RUNNING
        return is_running and self.pool.is_settled and not self.namespaces.is_busy

    def _resume(self, handed: HandoffState) -> None:
        """Take over the workers of the older program, and move to a new generation."""
        self.pool.resume(handed.pool)
        asker = self._control.resume(handed.control, handed.asker)
        self._log.info("master_resumed", workers=len(self.pool.workers()))
        number = self.reload(time.monotonic())
        if asker is not None:
            self._handlers.await_reload(asker, number)

    # Signals

    def _take_signals(self, now: float) -> None:
        for received in signals.merged(self._inbox.drain()):
            if received.signum == signal.SIGCHLD:
                self._reap(now)
            else:
                self._obey(received, now)

    def _reap(self, now: float) -> None:
        for pid, how in process.reap():
            self.pool.on_exit(pid, how, now)
            self.namespaces.on_exit(pid, how, now)
            self._reexec.on_exit(pid, how)

    def _obey(self, received: signals.Received, now: float) -> None:
        signum = signal.Signals(received.signum)
        sent_by = process.describe(received.sender, received.uid, signum)
        self._log.info("signal_received", signal=signum.name, sent_by=sent_by)
        match signum:
            case signal.SIGTERM if self._config.app.graceful_term:
                self.change_state(Event.QUIT, now)
            case signal.SIGQUIT | signal.SIGTERM | signal.SIGINT:
                self.change_state(EVENTS[signum], now)
            case signal.SIGUSR1:
                self.pool.end_jobs("it was dropped (SIGUSR1)")
            case signal.SIGUSR2 | signal.SIGCONT:
                self.pool.pause(is_paused=signum is signal.SIGUSR2)
            case signal.SIGHUP if not self.pool.is_stopping:
                self.reload(now)
            case signal.SIGTTIN | signal.SIGTTOU if not self.pool.is_stopping:
                self._resize(1 if signum is signal.SIGTTIN else -1)

    def _resize(self, change: int) -> None:
        """Change the wanted number of workers of the first queue list by `change`."""
        first, workers = next(iter(self.pool.wanted.counts.items()))
        self.pool.scale(first, max(0, workers + change))

    # Waiting

    def _wait(self, now: float) -> None:
        """Wait for the next event; the master waits nowhere else.

        Pushes and idle workers concern only the watchers of the queues, so they do not
        end the wait: a turn of all parts would cost more than the rest.
        """
        due, is_search = self._due(now), True
        while is_search:
            until = min(due, self.namespaces.watch_due(now))
            ready = self._poller.wait(max(0.0, until - now) * 1000 + 0.5)
            # Messages come before signals: a worker that died may have reported why.
            ready.sort(key=lambda fd: fd == self._inbox.fileno())
            now = time.monotonic()
            is_search = self._poller.call(ready, now) and now < due
            if is_search and (is_search := self.namespaces.watch(now)):
                self._publisher.turn(now)
                due = min(due, self.limit_enforcer.next_look(now))

    def _due(self, now: float) -> float:
        """Return when something is due, besides the looks at the queues."""
        if self.state is not State.RUNNING and self._is_empty(now):
            return now
        due = min(part.due(now) for part in (self.pool, *self._parts))
        return min(due, self._terminate_at, self._kill_at, self._reclaim_by)

    def _end(self) -> None:
        """End the zygotes, and close all connections.

        Signals stay blocked: the interpreter restores their default actions as it shuts
        down, and a second SIGTERM would then kill the process before its normal exit.
        """
        self.pool.generations.close()
        # Workers that are left after an error of the master become orphans: they settle
        # their jobs themselves, and exit.
        self.namespaces.close()
        self._control.close()
        self._inbox.close()


def id_of(config: Config) -> str:
    """Return the name of this master in Redis, in the form of a worker id."""
    host = process.host_in_ids(config.app.hostname)
    names = (queue_list.parse(pool.queues).name for pool in config.pools)
    return f"{host}:{os.getpid()}:{','.join(dict.fromkeys(names))}"
