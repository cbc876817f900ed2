"""A generation: one configuration, and the zygote that has loaded its application.

Runs in the master. The zygote is a fresh interpreter, so each generation has the
code, the packages, the environment and the directory that are there when it starts.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

from resqued.config.environment import read_environment
from resqued.config.loader import Config
from resqued.core.backoff import Backoff
from resqued.core.limits import UNSET
from resqued.errors import StartError
from resqued.ipc.channel import Channel, ChannelClosed
from resqued.ipc.scoreboard import Scoreboard
from resqued.master.slot import WorkerHandle
from resqued.system import process
from resqued.system.process import Pid
from resqued.systemd.notify import without_private
from resqued.wire import queue_list

# Characters for the titles of the zygote, the workers and the children.
TITLE_ROOM = 400


class Generation:
    """What the master holds of one generation."""

    def __init__(self, config: Config, number: int, directory: str) -> None:
        app = config.app
        self.config = replace(
            config,
            app=replace(app, generation=number, directory=app.directory or directory),
        )
        self.number = number
        self.pid: Pid | None = None
        self.channel: Channel | None = None
        self.is_ready = False
        # The least memory that a job of the application declares as its limit.
        self.least_memory = 0
        self.threads: list[str] = []
        self.started_at = 0.0
        self.backoff = Backoff(first=0.1, cap=30.0)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, and the number of its descriptor."""
        return {
            "config": asdict(self.config),
            "number": self.number,
            "pid": self.pid,
            "channel": None if self.channel is None else self.channel.fileno(),
            "is_ready": self.is_ready,
            "least_memory": self.least_memory,
            "threads": self.threads,
            "started_at": self.started_at,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Generation:
        """Return the generation that as_dict told of, its descriptor still open."""
        found = cls(Config.from_dict(values["config"]), values["number"], "")
        if values["channel"] is not None:
            found.channel = Channel.inherited(values["channel"])
        found.pid = values["pid"]
        found.is_ready = values["is_ready"]
        found.least_memory = values["least_memory"]
        found.threads = values["threads"]
        found.started_at = values["started_at"]
        return found

    @property
    def pools(self) -> dict[str, int]:
        """How many workers it is configured to have, by queue list."""
        return {pool.queues: pool.workers for pool in self.config.pools}

    def start(self, now: float) -> None:
        """Start the zygote.

        Raises ConfigError if its environment cannot be read, StartError if the
        system does not start it.
        """
        environment = {
            **without_private(os.environ),
            **read_environment(self.config.environment),
        }
        # A shell's word for where it was; not true any more.
        environment["PWD"] = self.config.app.directory or str(Path.cwd())
        self.started_at = now
        try:
            ours, theirs = Channel.pair()
        except OSError as error:
            raise StartError(f"no zygote can be started: {error.strerror}") from error
        try:
            self.pid = process.spawn(
                # What ps shows must fit where the arguments were (see process).
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
        self.channel = ours
        with suppress(ChannelClosed):  # its death is about to be heard of
            ours.send(
                "start",
                self.config.app.as_dict(),
                {"level": self.config.log_level, "style": self.config.log_format},
            )

    def reopen_log(self, path: str) -> None:
        """Have the zygote, and the workers that it forks, write to that file."""
        if self.channel is not None:
            with suppress(ChannelClosed):  # its death is about to be heard of
                self.channel.send("reopen", path)

    def spawn(self, queues: str, *, is_paused: bool) -> WorkerHandle | None:
        """Have the zygote fork a worker, joined to us by a channel and a scoreboard.

        None if that cannot be had now: the zygote has just died, or does not listen,
        or this process has no descriptors left.
        """
        assert self.channel is not None, "asked of a zygote that is ready"
        try:
            ours, theirs = Channel.pair()
        except OSError:
            return None
        with closing(theirs):
            try:
                scoreboard = Scoreboard.create()
            except OSError:
                ours.close()
                return None
            worker = self._handle(ours, scoreboard, queues)
            wanted = {
                "queues": queues,
                "limits": worker.limits,
                # At once: an order would come after the worker's first job.
                "is_paused": is_paused,
            }
            fds = [theirs.fileno(), scoreboard.fd]
            try:
                self.channel.send("spawn", wanted, descriptors=fds)
            except ChannelClosed:
                worker.close()
                return None
        return worker

    def _handle(
        self, channel: Channel, scoreboard: Scoreboard, queues: str
    ) -> WorkerHandle:
        limits = {pool.queues: pool.limits for pool in self.config.pools}
        return WorkerHandle(
            channel,
            scoreboard,
            spawned_at=time.monotonic(),
            generation=self.number,
            queues=queues,
            served=queue_list.parse(queues),
            limits=limits.get(queues, UNSET),
        )

    def close(self) -> None:
        """End the zygote; the workers that it forked live on."""
        if self.channel is not None:
            self.channel.close()
        if self.pid is not None:
            # What an import has started ends with it, if it did not come to an end.
            # Of one that has, workers may use it.
            send = process.send if self.is_ready else process.send_group
            send(self.pid, SIGKILL)
        self.channel = self.pid = None
        self.is_ready = False
