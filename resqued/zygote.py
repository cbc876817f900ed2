"""The zygote: imports the application once, and forks workers on order.

The zygote is a new interpreter, which the master starts with exec, so that each
generation has the present code. It forks twice for each worker: the workers become
children of the master, which reaps them at once, and they outlive their zygote. The
zygote has no connection to Redis.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import socket
import sys
from pathlib import Path

# Imported before the application, which may patch the module (gevent).
from select import POLLIN, POLLOUT, poll, select
from typing import Any, assert_never

from msgspec.structs import replace

from resqued import client
from resqued.config.settings import AppSettings
from resqued.core.limits import Limits
from resqued.core.pool_key import PoolKey
from resqued.errors import ConfigError, ExitCode, ResquedError
from resqued.execution import warmup
from resqued.execution.app_warnings import look_at_application
from resqued.execution.spare_descriptors import SpareDescriptors
from resqued.execution.worker_links import WorkerLinks
from resqued.ipc.channel import Channel, ChannelClosed, inherited_socket
from resqued.ipc.messages import (
    AppImported,
    DeclaredJobs,
    ImportFailed,
    LogSettings,
    ReopenLog,
    SpawnWorker,
    ZygoteOrder,
    ZygoteReport,
    receive_start,
    worker_to_master,
    zygote_to_master,
)
from resqued.ipc.scoreboard import Scoreboard
from resqued.jobs.declare import least_memory
from resqued.jobs.described import described_jobs, in_pages
from resqued.jobs.import_failure import explain, stack, text_of
from resqued.jobs.lookup import declared_deaths
from resqued.jobs.recurrence import declared_schedules
from resqued.log import capture, logfile, logger
from resqued.store.connection import SingleLink
from resqued.system import (
    memory,
    ownership,
    prctl,
    process,
    process_title,
    signals,
    standard_library,
)
from resqued.system.signals import SignalInbox
from resqued.wire import queue_list, titles
from resqued.wire.queue_list import QueueList
from resqued.worker import WorkerProcess

# How long the master may take to read a report of jobs, in milliseconds.
_REPORT_PATIENCE = 5_000


class ApplicationError(ResquedError):
    """The application cannot be imported; the text gives the reason and the place."""


class Zygote:
    """The process that forks the workers of a generation."""

    def __init__(
        self,
        settings: AppSettings,
        channel: Channel[ZygoteReport, ZygoteOrder],
        inbox: SignalInbox,
        link: SingleLink,
        default: client.Client,
    ) -> None:
        self._settings = settings
        # The client that jobs use, unless the application has configured another.
        self._client = default
        self._channel = channel
        self._inbox = inbox
        # What the workers of a pool share, and the connection of each namespace, not
        # open: on a cluster each may lead to another node.
        self._pools: dict[tuple[PoolKey, Limits], tuple[AppSettings, QueueList]] = {}
        self._links = {link.namespace: link}

    def run(self) -> int:
        """Fork a worker for each order, until the master has exited; return 0."""
        wait = poll()
        wait.register(self._inbox.fileno(), POLLIN)
        wait.register(self._channel.fileno(), POLLIN)
        try:
            # The master may have died while the application was imported.
            report = AppImported(
                process.threads(),
                least_memory(),
                declared_schedules(),
                dict(self._settings.deaths.declared),
            )
            self._channel.send(report)
            while True:
                wait.poll()
                self._inbox.drain()
                process.reap()
                while (message := self._channel.receive()) is not None:
                    self._obey(*message)
        except ChannelClosed:
            return 0
        finally:
            self._inbox.close()

    def _obey(self, order: ZygoteOrder, fds: list[int]) -> None:
        match order:
            case SpawnWorker():
                self._spawn(order, fds)
            case ReopenLog(path):
                logfile.follow(Path(path), logger.get(role="zygote"))
            case _:
                assert_never(order)

    def _spawn(self, wanted: SpawnWorker, fds: list[int]) -> None:
        """Fork a process that forks a worker and exits."""
        # Pages that the zygote writes to between two forks are left to the worker
        # before, so what is the same for the workers of a pool is made once.
        key = wanted.pool, wanted.limits
        pool = self._pools.get(key) or self._add_pool(*key)
        try:
            process.fork_child(self._fork_again, *pool, fds, wanted)
        except OSError as error:
            # The worker's channel closes with these descriptors: the master notices a
            # worker that died before it reported its pid, and waits before it tries
            # again.
            logger.get(role="zygote", pid=os.getpid()).error(
                "fork_failed", error=str(error)
            )
        for fd in fds:
            os.close(fd)

    def _add_pool(self, pool: PoolKey, limits: Limits) -> tuple[AppSettings, QueueList]:
        """Return what the workers of a pool share, which is made and kept."""
        rules = self._settings.rules.for_pool(limits)
        settings = replace(self._settings, rules=rules, namespace=pool.namespace)
        if pool.namespace not in self._links:
            self._links[pool.namespace] = _link_of(settings)
        found = self._pools[pool, limits] = settings, queue_list.parse(pool.queues)
        return found

    def _fork_again(self, *worker: Any) -> int:
        """Fork the worker, and exit.

        Runs in the process between zygote and worker. Its exit makes the master the
        parent of the worker, because the master is a subreaper.
        """
        process.fork_child(self._become_worker, *worker)
        return 0

    def _become_worker(
        self,
        settings: AppSettings,
        queues: QueueList,
        fds: list[int],
        wanted: SpawnWorker,
    ) -> int:
        """Run the worker, with signals blocked at first; return its exit status."""
        try:
            self._inbox.reopen()
            self._channel.close()
            prctl.become_subreaper()
            process_title.set_title(titles.starting())
            if settings.namespace != self._settings.namespace:
                self._use_namespace(settings)
            worker = WorkerProcess(
                settings,
                queues,
                WorkerLinks(
                    self._inbox,
                    worker_to_master(inherited_socket(fds[0])),
                    Scoreboard(fds[1]),
                    self._links[settings.namespace],
                ),
                wanted,
            )
            return worker.run()
        except BaseException:  # the master starts another worker
            logger.get(role="worker", pid=os.getpid()).exception("worker_failed")
            return int(ExitCode.INTERNAL)

    def _use_namespace(self, settings: AppSettings) -> None:
        """Make the jobs of this worker enqueue into the namespace of its pool.

        A client that the application has configured stays in use.
        """
        if client.default_client() is self._client:
            _configure_client(settings)


def _about(settings: AppSettings) -> dict[str, object]:
    """Return the fields of each log line of the application during its import."""
    return {"role": "zygote", "generation": settings.generation}


def enter(directory: str) -> None:
    """Change to the directory of the application; a symlink is resolved each time.

    An empty name changes nothing. Raises ApplicationError if that is not possible.
    """
    if directory:
        try:
            os.chdir(directory)
        except OSError as error:
            raise ApplicationError(
                f"cannot enter directory {directory}: {error.strerror}"
            ) from error


def load(modules: tuple[str, ...], *, directory: str) -> None:
    """Import the application; raise ApplicationError with the reason in one line.

    The working directory is the first place of the import path; `directory` is its name
    in the configuration, or "". Nothing is imported from a directory where another user
    can change the code.
    """
    if not modules:
        return
    here = str(Path.cwd())
    with contextlib.suppress(OSError):  # a removed directory has no modules
        reason = ownership.distrust_of_code(Path(here), is_named=bool(directory))
        if reason:
            names = ", ".join(modules)
            raise ApplicationError(f"cannot import {names}: {reason}")
    if here not in sys.path:
        sys.path.insert(0, here)
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # the application's code
            raise ApplicationError(explain(module, error, modules, here)) from error


def freeze(settings: AppSettings, inbox: SignalInbox, title: str) -> list[object]:
    """Prepare the heap for cheap forks; return objects that must be kept for that.

    The present objects are excluded from all later garbage collections, which would
    write to each of them. hot path: frozen-heap
    """
    process.learn_host()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    capture.finish()
    # At level debug each job logs a line, so no warm-up is made.
    if not logger.is_logged("job_begins", "debug"):
        memory.empty_page_tables()
        warmup.warm_up(settings, inbox, title)
        memory.copy_page_tables()
        capture.set_context(_about, settings)
    gc.collect()
    gc.freeze()
    memory.collapse()
    return memory.fill_pools()


def _with_declared(settings: AppSettings) -> AppSettings:
    """Return the settings with what jobs declare: to look for it touches all pages."""
    deaths = settings.deaths.with_declared(declared_deaths(settings.modules))
    return replace(settings, deaths=deaths)


def _report_jobs(
    channel: Channel[ZygoteReport, ZygoteOrder], modules: tuple[str, ...]
) -> None:
    """Report what the application declares; what has no room in time is left out."""
    room = poll()
    room.register(channel.fileno(), POLLOUT)
    with contextlib.suppress(ChannelClosed):  # noticed by the next message
        for page in in_pages(described_jobs(modules)):
            if not room.poll(_REPORT_PATIENCE):
                return
            channel.send(DeclaredJobs(page))


def _configure_client(settings: AppSettings) -> client.Client:
    """Make jobs that enqueue jobs use this Redis, unless the application changes it."""
    return client.configure(
        settings.url, namespace=settings.namespace, max_payload=settings.max_payload
    )


def _link_of(settings: AppSettings) -> SingleLink:
    """Return the connection for workers, not open: each opens it for itself.

    It is made before the first fork, which saves memory in each worker.
    """
    return SingleLink(
        settings.url, timeout=settings.redis_timeout, namespace=settings.namespace
    )


def _begin_log(settings: AppSettings, log: LogSettings) -> None:
    """Log as the master does, and what the application prints as its events."""
    logger.configure(level=log.level, style=log.style, events=log.events)
    capture.install()
    capture.set_context(_about, settings)


def _take_back(
    inbox: SignalInbox,
    spare: SpareDescriptors,
    sock: socket.socket,
    channel: Channel[ZygoteReport, ZygoteOrder],
) -> Channel[ZygoteReport, ZygoteOrder]:
    """Undo what the application has done to signals and descriptors of this process.

    Returns the channel to the master, which may have another descriptor now. Raises
    OSError if none is left.
    """
    inbox.take_signals()
    inbox.put_back()
    fd = sock.fileno()
    error, place = spare.put_back()
    logger.write_to(error)
    if place == fd:
        return channel
    sock.detach()  # the number may be that of a file of the application
    return zygote_to_master(inherited_socket(place))


def _tell_failure(
    channel: Channel[ZygoteReport, ZygoteOrder], error: BaseException
) -> int:
    """Report to the master why there can be no worker; return the exit status."""
    text, cause = str(error), error.__cause__
    if not isinstance(error, ApplicationError | ConfigError):
        cause = error
        said = f"{type(error).__name__}: {text_of(error)}"
        text = f"the zygote failed after the import of the application: {said}"
    try:
        channel.send(ImportFailed(text, stack(cause)))
    except ChannelClosed:
        logger.get(role="zygote", pid=os.getpid()).error("zygote_failed", error=text)
    return 78


def main(fd: int) -> int:
    """Run the zygote, which the master starts as `python -m resqued.zygote FD`."""
    # The signals that a worker takes. Only SIGCHLD has an effect here: a signal that is
    # sent to all processes, by pkill, is meant for the master and the workers.
    inbox = SignalInbox()
    sock = inherited_socket(fd)
    process.reset_oom_score()
    select([sock], [], [])
    try:
        start = receive_start(sock)
    except ChannelClosed:
        return 0
    assert start is not None, "select found a message"
    channel, settings, log = zygote_to_master(sock), start.settings, start.log
    title = titles.zygote(generation=settings.generation, modules=settings.modules)
    process_title.set_title(title)
    default = _configure_client(settings)
    standard_library.keep_own_copies()
    # Processes that the application starts meanwhile must not inherit blocked signals.
    signals.unblock()
    try:
        _begin_log(settings, log)
        enter(settings.directory)
        spare = SpareDescriptors(fd)
        try:
            load(settings.modules, directory=settings.directory)
        finally:
            channel = _take_back(inbox, spare, sock, channel)
        look_at_application(settings)
        settings = _with_declared(settings)
        _report_jobs(channel, settings.modules)
        link = _link_of(settings)
        warmup.make_often(WorkerProcess, settings, inbox, channel, link)
        kept = freeze(settings, inbox, title)
    except BaseException as error:  # among them odd objects of the application
        return _tell_failure(channel, error)
    try:
        return Zygote(settings, channel, inbox, link, default).run()
    finally:
        kept.clear()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
