"""What the master tells systemd, and when: sd_notify(3), spoken by cysystemd.

Where nobody wants to hear (no NOTIFY_SOCKET) nothing is told, and cysystemd is not
needed. The variables are for the master alone: a job that found them could say
that the service is ready, or has died.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from resqued.core.timings import NEVER
from resqued.errors import ConfigError
from resqued.systemd import service_status
from resqued.systemd.service_status import PoolStatus, ServiceState

SOCKET = "NOTIFY_SOCKET"
# What systemd gives to one process of a service, and to nobody below it.
PRIVATE = (
    SOCKET,
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
)
# How often the status may change, and how old it may be, in seconds.
SOONEST, LATEST = 1.0, 5.0
# So much more time is asked for, so often, while jobs finish, code is imported, or
# slots move to it.
# No more than TimeoutStopSec may pass before the first word, which goes at once.
EXTENSION, EXTEND_EVERY = 30.0, 5.0
_AGAINST_TIME = (ServiceState.STARTING, ServiceState.RELOADING, ServiceState.STOPPING)


def without_private(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for another process, without what is the master's."""
    return {name: value for name, value in environ.items() if name not in PRIVATE}


class Notifier:
    """Runs in the master; `pid` is the master's.

    Raises ConfigError if there is somebody to tell, and no cysystemd to do it.
    """

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._send = _speaker() if environ.get(SOCKET) else None
        self._patience = _watchdog(environ, pid)
        self._told: PoolStatus | None = None
        self._said = ""
        self._status_at = self._feed_at = self._extend_at = 0.0

    def turn(self, now: float, status: PoolStatus) -> None:
        """Tell what has changed, and that the loop turns."""
        if self._send is None:
            return
        for stage in service_status.changes(self._told, status):
            self._send(_WORDS[stage]())
            self._extend_at = now  # another stage has another limit of time
        for word in (
            *self._status(now, status),
            *self._sign_of_life(now),
            *self._more_time(now, status),
        ):
            self._send(word)
        self._told = status

    def due(self) -> float:
        """Return when systemd is to be notified, if nothing happens."""
        if self._send is None:
            return NEVER
        due = [self._status_at + LATEST]
        if self._patience:
            due.append(self._feed_at)
        if self._told is not None and self._told.stage in _AGAINST_TIME:
            due.append(self._extend_at)
        return min(due)

    def _status(self, now: float, status: PoolStatus) -> Iterator[str]:
        line = service_status.describe(status)
        is_news = self._told is None or self._told.stage is not status.stage
        age = now - self._status_at
        if line != self._said and (is_news or age >= SOONEST):
            self._said = line
            yield f"STATUS={line}"
        elif age < LATEST:
            return
        self._status_at = now

    def _sign_of_life(self, now: float) -> Iterator[str]:
        if self._patience and now >= self._feed_at:
            self._feed_at = now + self._patience / 3
            yield "WATCHDOG=1"

    def _more_time(self, now: float, status: PoolStatus) -> Iterator[str]:
        if status.stage in _AGAINST_TIME and now >= self._extend_at:
            self._extend_at = now + EXTEND_EVERY
            yield f"EXTEND_TIMEOUT_USEC={EXTENSION * 1e6:.0f}"


def _reloading() -> str:
    # The clock of time.monotonic() is the one that systemd means.
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


_WORDS: dict[ServiceState, Callable[[], str]] = {
    ServiceState.READY: lambda: "READY=1",
    ServiceState.RELOADING: _reloading,
    ServiceState.STOPPING: lambda: "STOPPING=1",
}


def _speaker() -> Callable[[str], object]:
    try:
        # Its notify() has no words for MONOTONIC_USEC and EXTEND_TIMEOUT_USEC.
        from cysystemd.daemon import sd_notify  # type: ignore[attr-defined]
    except ImportError:
        raise ConfigError(
            "systemd waits for word of this service (NOTIFY_SOCKET is set), and"
            " cysystemd is not installed: pip install 'resqued[systemd]'"
        ) from None

    def send(text: str) -> None:
        # Whoever listened may have gone: that is not for the pool to suffer from.
        try:
            sd_notify(text, False)
        except (ValueError, RuntimeError):
            return

    return send


def _watchdog(environ: Mapping[str, str], pid: int) -> float:
    """Return after how many seconds of silence systemd restarts us; 0 for never."""
    text, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    is_ours = not whose or whose == str(pid)
    return int(text) / 1e6 if text.isdigit() and is_ours else 0.0
