"""The zygote: imports the application once, and forks workers when told.

A fresh interpreter, started by the master with exec, so that each generation has
new code. Forks twice: the workers become the master's own children, who reaps
them at once, and they outlive their zygote. Has no connection to Redis.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

# Taken before the application is imported, which may patch the module (gevent).
from select import POLLIN, poll, select
from typing import assert_never

from resqued import client
from resqued.config.settings import AppSettings
from resqued.errors import ConfigError, ExitCode, ResquedError
from resqued.execution import warmup
from resqued.execution.worker_links import WorkerLinks
from resqued.ipc.channel import Channel, ChannelClosed, inherited_socket
from resqued.ipc.messages import (
    AppImported,
    ImportFailed,
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
from resqued.log import capture, logfile, logger
from resqued.store.connection import SingleLink
from resqued.system import (
    memory,
    ownership,
    prctl,
    process,
    process_title,
    signals,
)
from resqued.system.signals import SignalInbox
from resqued.wire import queue_list, titles
from resqued.worker import WorkerProcess


class ApplicationError(ResquedError):
    """The application cannot be imported; the text says why and where."""


class Zygote:
    """The process from which a generation's workers are forked."""

    def __init__(
        self,
        settings: AppSettings,
        channel: Channel[ZygoteReport, ZygoteOrder],
        inbox: SignalInbox,
        link: SingleLink,
    ) -> None:
        self._settings = settings
        self._link = link
        self._channel = channel
        self._inbox = inbox

    def run(self) -> int:
        """Fork a worker for each order, until the master is gone."""
        wait = poll()
        wait.register(self._inbox.fileno(), POLLIN)
        wait.register(self._channel.fileno(), POLLIN)
        try:
            # The master may have died while the application was imported.
            self._channel.send(AppImported(process.threads(), least_memory()))
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
        """Fork a process that forks a worker and leaves."""
        try:
            process.fork_child(self._fork_again, wanted, fds)
        except OSError as error:
            # The worker's channel closes with these: the master sees a worker
            # that died before it said hello, and backs off.
            logger.get(role="zygote", pid=os.getpid()).error(
                "fork_failed", error=str(error)
            )
        for fd in fds:
            os.close(fd)

    def _fork_again(self, wanted: SpawnWorker, fds: list[int]) -> int:
        """Runs in the one in between: its death makes the worker the master's."""
        process.fork_child(self._become_worker, wanted, fds)
        return 0

    def _become_worker(self, wanted: SpawnWorker, fds: list[int]) -> int:
        """Runs in the worker, with signals blocked."""
        self._inbox.close()
        self._channel.close()
        prctl.become_subreaper()
        process_title.set_title(titles.starting())
        try:
            rules = self._settings.rules.for_pool(wanted.limits)
            worker = WorkerProcess(
                replace(self._settings, rules=rules),
                queue_list.parse(wanted.queues),
                WorkerLinks(
                    worker_to_master(inherited_socket(fds[0])),
                    Scoreboard(fds[1]),
                    self._link,
                ),
                is_paused=wanted.is_paused,
            )
            return worker.run()
        except Exception:  # the loop guard: the master makes a new worker
            logger.get(role="worker", pid=os.getpid()).exception("worker_failed")
            return int(ExitCode.INTERNAL)


def _about(settings: AppSettings) -> dict[str, object]:
    """Return what every line says that the application prints while it is imported."""
    return {"role": "zygote", "generation": settings.generation}


def enter(directory: str) -> None:
    """Go where the application lies: what a symlink means is found out each time."""
    if directory:
        try:
            os.chdir(directory)
        except OSError as error:
            raise ApplicationError(
                f"cannot enter directory {directory}: {error.strerror}"
            ) from error


def load(modules: tuple[str, ...], *, directory: str) -> None:
    """Import the application; raise ApplicationError with one line that says why.

    The working directory is the first place to look for it, and `directory` its name in
    the configuration, or "". Nothing is imported where another user decides what.
    """
    if not modules:
        return
    here = str(Path.cwd())
    with contextlib.suppress(OSError):  # it is deleted: then nothing is found there
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
            raise ApplicationError(_why(module, error)) from error


def _why(module: str, error: BaseException) -> str:
    kind = type(error).__name__
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}"
        return f"cannot import {module}: {kind} at {place}: {error.msg}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
        and frame.filename != __file__
        and "importlib" not in frame.filename
    ]
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"cannot import {module}: {kind}{place}: {error}"


def freeze(settings: AppSettings, inbox: SignalInbox, title: str) -> list[object]:
    """Make the heap cheap to fork; return what must be kept for that.

    The objects that are there now are left out of all later collections, which would
    write to each of them. hot path: frozen-heap
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    capture.finish()
    # At level debug each job has a line.
    if not logger.is_debugging():
        warmup.warm_up(settings, inbox, title)
        capture.set_context(_about, settings)
    gc.collect()
    gc.freeze()
    memory.collapse()
    return memory.fill_pools()


def main(fd: int) -> int:
    """Run as `python -m resqued.zygote FD`: what the master starts."""
    # The same signals as a worker's, and but for SIGCHLD without effect: one that
    # is sent to all, by pkill, is for the master and the workers to act on.
    inbox = SignalInbox()
    sock = inherited_socket(fd)
    process.reset_oom_score()
    select([sock], [], [])
    try:
        start = receive_start(sock)
    except ChannelClosed:
        return 0
    assert start is not None, "select found a message"
    channel = zygote_to_master(sock)
    settings = start.settings
    title = titles.zygote(generation=settings.generation, modules=settings.modules)
    process_title.set_title(title)
    # Jobs that enqueue jobs use the same Redis, unless the application says else.
    client.configure(settings.url, namespace=settings.namespace)
    # What the application starts meanwhile must not inherit them held back.
    signals.unblock()
    try:
        logger.configure(level=start.log.level, style=start.log.style)
        capture.install()
        capture.set_context(_about, settings)
        enter(settings.directory)
        load(settings.modules, directory=settings.directory)
    except (ApplicationError, ConfigError) as error:
        with contextlib.suppress(ChannelClosed):
            channel.send(ImportFailed(str(error)))
        return 78
    signals.block()
    # Made before the first fork, which spares each worker the memory of the making;
    # each opens a connection of its own with it.
    link = SingleLink(settings.url, timeout=settings.redis_timeout)
    kept = freeze(settings, inbox, title)
    try:
        return Zygote(settings, channel, inbox, link).run()
    finally:
        kept.clear()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
