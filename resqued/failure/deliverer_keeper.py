"""Keeps the deliverers running; runs in the master."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM

from msgspec import Struct, field

from resqued.config.environment import read_environment
from resqued.config.loader import Config
from resqued.core.backoff import Backoff
from resqued.core.exit_status import Exit
from resqued.core.timings import NEVER
from resqued.errors import ConfigError
from resqued.ipc.channel import ChannelClosed, socket_pair
from resqued.ipc.messages import LogSettings, Start, ZygoteChannel, to_zygote
from resqued.log.logger import Logger
from resqued.system import process
from resqued.system.poller import Poller
from resqued.system.process import Pid
from resqued.systemd.notify import without_private

# Room for the title, in characters.
_TITLE_ROOM = 80


class _Process(Struct):
    """The deliverer of one back end."""

    name: str
    pid: Pid | None = None
    started_at: float = 0.0
    channel: ZygoteChannel | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1.0, cap=60.0))


class DelivererKeeper:
    """Keeps one deliverer for each back end of another service; a part of the master.

    They are started again when they die, and when a reload changes the configuration.
    """

    def __init__(
        self, config: Callable[[], Config], poller: Poller, log: Logger
    ) -> None:
        self._config = config
        self._poller = poller
        self._log = log
        self._of: Config | None = None
        self._processes: dict[str, _Process] = {}

    def due(self, now: float) -> float:
        """Return when a deliverer is to be started."""
        if self._config() is not self._of:
            return now
        waiting = [p.backoff.ready_at for p in self._processes.values() if not p.pid]
        return min(waiting, default=NEVER)

    def turn(self, now: float) -> None:
        """Start the deliverers that are wanted and do not run."""
        config = self._config()
        if config is not self._of:
            self._of = config
            for each in self._processes.values():
                self._stop(each)
            names = config.app.failure_place.outboxes
            self._processes = {name: _Process(name) for name in names}
        for each in self._processes.values():
            if each.pid is None and now >= each.backoff.ready_at:
                self._start(each, config, now)

    def close(self) -> None:
        """End the deliverers; the next turn starts others."""
        for each in self._processes.values():
            self._stop(each)
        self._of = None

    def _start(self, each: _Process, config: Config, now: float) -> None:
        try:
            environment = {
                **without_private(os.environ),
                **read_environment(config.environment),
            }
            environment["PWD"] = config.app.directory or str(Path.cwd())
            ours, theirs = socket_pair()
        except (OSError, ConfigError) as error:
            self._fail(each, str(error), now)
            return
        argv = [sys.executable, "-P", "-m", "resqued.failure.deliverer", "3", each.name]
        try:
            each.pid = process.spawn(
                [*argv, " " * _TITLE_ROOM],
                descriptor=theirs.fileno(),
                environment=environment,
            )
        except OSError as error:
            ours.close()
            self._fail(each, str(error), now)
            return
        finally:
            theirs.close()
        each.started_at = now
        each.channel = to_zygote(ours)
        self._poller.register(ours.fileno(), lambda _: self._close(each))
        log = LogSettings(config.log_level, config.log_format, config.log_events)
        with suppress(ChannelClosed):  # its exit is noticed elsewhere
            each.channel.send(Start(config.app, log))

    def on_exit(self, pid: Pid, how: Exit, now: float) -> None:
        """Note that a child of the master was reaped, which may be a deliverer."""
        for each in self._processes.values():
            if each.pid == pid:
                self._close(each)
                each.pid = None
                if now - each.started_at >= each.backoff.cap:
                    each.backoff = each.backoff.succeeded()
                self._fail(each, f"it {how.in_words}", now)

    def _fail(self, each: _Process, reason: str, now: float) -> None:
        each.backoff = each.backoff.failed(now, random.random())
        wait = round(each.backoff.ready_at - now, 1)
        self._log.error(
            "deliverer_died", backend=each.name, reason=reason, retry_in=wait
        )

    def _stop(self, each: _Process) -> None:
        """End a deliverer; what was not delivered stays in its outbox."""
        self._close(each)
        if each.pid is not None:
            process.send(each.pid, SIGTERM)
        each.pid = None

    def _close(self, each: _Process) -> None:
        """Close the channel of a deliverer, which exits or is about to."""
        if each.channel is not None:
            self._poller.unregister(each.channel.fileno())
            each.channel.close()
            each.channel = None
