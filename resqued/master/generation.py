"""A generation: one configuration, and the zygote that has loaded its application.

Runs in the master. The zygote is a new interpreter, so each generation has the
code, the packages, the environment and the directory as they are when it starts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path
from signal import SIGKILL

from msgspec.structs import replace

from resqued.config.environment import read_environment
from resqued.config.loader import Config
from resqued.core.backoff import Backoff
from resqued.core.exit_status import Exit
from resqued.core.limits import UNSET
from resqued.core.pool_key import PoolKey
from resqued.core.version import VERSION
from resqued.errors import StartError
from resqued.ipc.channel import ChannelClosed, inherited_socket, socket_pair
from resqued.ipc.messages import (
    AppImported,
    LogSettings,
    ReopenLog,
    SpawnWorker,
    Start,
    WorkerChannel,
    ZygoteChannel,
    to_worker,
    to_zygote,
)
from resqued.ipc.scoreboard import Scoreboard
from resqued.log import logger
from resqued.master import wakeups
from resqued.master.handoff import DescriptorList, GenerationRecord
from resqued.master.worker_handle import WorkerHandle
from resqued.system import process
from resqued.system.process import Pid
from resqued.system.process_handle import ProcessHandle
from resqued.systemd.notify import without_private
from resqued.wire import queue_list

# Room for the titles of the zygote, the workers and the children, in characters.
TITLE_ROOM = 400
# How long a zygote may take to exit once its channel is closed, in seconds.
_EXIT_PATIENCE = 0.2


def _version_hint() -> str:
    """Return advice if the package was replaced since the master started, else ""."""
    try:
        installed = metadata.version("resqued")
    except metadata.PackageNotFoundError:
        return ""
    if installed == VERSION:
        return ""
    return (
        f"; resqued {installed} is installed, and this master runs {VERSION}:"
        " `resqued reload --master` replaces it"
    )


class Generation:
    """One generation, as the master knows it: configuration, zygote, channel."""

    def __init__(self, config: Config, number: int, directory: str) -> None:
        app = config.app
        self.config = replace(
            config,
            app=replace(app, generation=number, directory=app.directory or directory),
        )
        self.number = number
        self.pid: Pid | None = None
        self.channel: ZygoteChannel | None = None
        self.is_ready = False
        # The smallest memory limit that a job of the application declares, in bytes.
        self.least_memory = 0
        # The recurring jobs: of the configuration, then those of the application.
        self.schedules = config.schedules
        self.has_dynamic_schedules = config.has_dynamic_schedules
        self.deaths = config.app.deaths
        # Whether the application has said what it declares, at least once.
        self.has_declared = False
        # JSON about the jobs of the application, by name; empty after a handoff.
        self.jobs: dict[str, str] = {}
        self.started_at = 0.0
        self.backoff = Backoff(first=0.1, cap=30.0)

    def record(self, descriptors: DescriptorList) -> GenerationRecord:
        """Return the record of this generation for the next program of the master."""
        fd = None if self.channel is None else self.channel.fileno()
        return GenerationRecord(
            config=self.config,
            number=self.number,
            pid=self.pid,
            channel=None if fd is None else descriptors.keep(fd),
            is_ready=self.is_ready,
            least_memory=self.least_memory,
            deaths=dict(self.deaths.declared),
            schedules=self.schedules,
            started_at=self.started_at,
        )

    @classmethod
    def from_record(cls, record: GenerationRecord) -> Generation:
        """Return a recorded generation, whose descriptor is still open."""
        found = cls(record.config, record.number, "")
        if record.channel is not None:
            found.channel = to_zygote(inherited_socket(record.channel))
        found.pid = None if record.pid is None else Pid(record.pid)
        found.is_ready = found.has_declared = record.is_ready
        found.least_memory = record.least_memory
        found.deaths = record.config.app.deaths.with_declared(record.deaths)
        found.schedules = record.schedules
        found.started_at = record.started_at
        return found

    def learn(self, report: AppImported) -> None:
        """Note that the zygote is ready, and keep what the application declares."""
        self.is_ready, self.backoff = True, self.backoff.succeeded()
        self.has_declared = True
        self.least_memory = report.least_memory
        self.schedules = (*self.config.schedules, *report.schedules)
        self.deaths = self.config.app.deaths.with_declared(report.deaths)

    @property
    def pools(self) -> dict[PoolKey, int]:
        """The configured number of workers by pool."""
        return {pool.key: pool.workers for pool in self.config.pools}

    def start(self, now: float) -> None:
        """Start the zygote.

        Raises ConfigError if its environment file cannot be read, StartError if the
        system cannot start the process.
        """
        environment = {
            **without_private(os.environ),
            **read_environment(self.config.environment),
        }
        # The inherited value is the directory of the shell, which may be another one.
        environment["PWD"] = self.config.app.directory or str(Path.cwd())
        self.started_at = now
        try:
            ours, theirs = socket_pair()
        except OSError as error:
            raise StartError(f"no zygote can be started: {error.strerror}") from error
        try:
            self.pid = process.spawn(
                # The title that ps shows must fit in the space of the arguments.
                [sys.executable, "-P", "-m", "resqued.zygote", "3", " " * TITLE_ROOM],
                descriptor=theirs.fileno(),
                environment=environment,
            )
        except OSError as error:
            ours.close()
            raise StartError(
                f"{sys.executable} cannot be started: {error.strerror}"
            ) from error
        finally:
            theirs.close()
        self.channel = to_zygote(ours)
        config = self.config
        log = LogSettings(config.log_level, config.log_format, config.log_events)
        with suppress(ChannelClosed):  # its exit is noticed elsewhere
            self.channel.send(Start(config.app, log))

    def apply_log_levels(self) -> None:
        """Set the log levels of the master to those of this generation."""
        logger.set_levels(self.config.log_level, self.config.log_events)

    def reopen_log(self, path: str) -> None:
        """Order the zygote to reopen its log; the workers that it forks use it too."""
        if self.channel is not None:
            with suppress(ChannelClosed):  # its exit is noticed elsewhere
                self.channel.send(ReopenLog(path))

    def spawn(
        self, pool: PoolKey, *, is_paused: bool, paused: Collection[str] | None
    ) -> WorkerHandle | None:
        """Order the zygote to fork a worker; return the master's handle of the worker.

        `paused` are the paused queues of its namespace; None if they are not known.
        None if the zygote has just died, or does not read its channel. Raises OSError
        if this process has no descriptors or no memory left for the worker's channel
        and scoreboard.
        """
        assert self.channel is not None, "asked of a zygote that is ready"
        ours, theirs = socket_pair()
        with closing(theirs):
            try:
                scoreboard = Scoreboard.create()
            except OSError:
                ours.close()
                raise
            worker = self._handle(to_worker(ours), scoreboard, pool)
            order = SpawnWorker(
                pool,
                worker.limits,
                is_paused=is_paused,
                paused_queues=wakeups.paused_for(paused, worker.served),
            )
            fds = [theirs.fileno(), scoreboard.fd]
            try:
                self.channel.send(order, descriptors=fds)
            except ChannelClosed:
                worker.close()
                return None
        return worker

    def _handle(
        self, channel: WorkerChannel, scoreboard: Scoreboard, pool: PoolKey
    ) -> WorkerHandle:
        limits = {pool.key: pool.limits for pool in self.config.pools}
        return WorkerHandle(
            channel,
            scoreboard,
            spawned_at=time.monotonic(),
            generation=self.number,
            pool=pool,
            served=queue_list.parse(pool.queues),
            limits=limits.get(pool, UNSET),
        )

    @property
    def start_by(self) -> float:
        """When the application must be imported, in seconds of the monotonic clock."""
        return self.started_at + self.config.start_timeout

    def is_late(self, now: float) -> bool:
        """Return True if the import of the application takes too long."""
        is_starting = self.pid is not None and not self.is_ready
        return is_starting and now >= self.start_by

    def peek_exit(self) -> Exit | None:
        """Return how the zygote ended, without reaping it; None if it has not.

        A process that exits closes its channel a moment before it is dead, so this
        waits up to 0.2 seconds for the exit.
        """
        if self.pid is None:
            return None
        if (handle := ProcessHandle.open(self.pid)) is not None:  # not a zombie yet
            with closing(handle):
                handle.has_ended(_EXIT_PATIENCE)
        try:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            found = os.waitid(os.P_PID, self.pid, flags)
        except ChildProcessError:
            return None
        if found is None:
            return None
        is_exit = found.si_code == os.CLD_EXITED
        code = found.si_status if is_exit else -found.si_status
        return Exit(code, found.si_code == os.CLD_DUMPED)

    def describe_end(self, how: Exit | None, reason: str = "") -> str:
        """Return how the zygote ended and what it was doing, as text for the log.

        `reason` is why the master gives the zygote up, for one that has not ended.
        """
        modules = ", ".join(self.config.app.modules)
        doing = f" while it imported {modules or 'the application'}"
        if self.is_ready:
            doing = ""
        if how is None:
            return f"the zygote is not understood{doing}: {reason}{_version_hint()}"
        is_killed = how.code == -SIGKILL
        hint = "; the kernel does that where memory runs out" if is_killed else ""
        return f"the zygote {how.in_words}{doing}{hint}{_version_hint()}"

    def close(self) -> None:
        """Kill the zygote; the workers that it forked keep running."""
        if self.channel is not None:
            self.channel.close()
        if self.pid is not None:
            # The processes that an unfinished import has started are killed too. Those
            # of a finished import are kept, because workers may use them.
            send = process.send if self.is_ready else process.send_group
            send(self.pid, SIGKILL)
        self.channel = self.pid = None
        self.is_ready = False
