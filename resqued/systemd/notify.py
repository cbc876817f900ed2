"""Notifications from the master to systemd (sd_notify(3), "Notes": the protocol).

Without NOTIFY_SOCKET in the environment nothing is sent. The function of libsystemd is
not used: it waits while the socket is full, and a systemd that stands still would stop
the master. Workers and jobs must not have these variables: with them a job could report
that the service is ready or stopping.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping

from resqued.core.timings import NEVER
from resqued.systemd import service_status
from resqued.systemd.service_status import PoolStatus, ServiceState

SOCKET = "NOTIFY_SOCKET"
# Variables that systemd sets for the main process of a service only.
PRIVATE = (
    SOCKET,
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
)
# The shortest and the longest time between two status lines, in seconds.
SOONEST, LATEST = 1.0, 5.0
# While the master starts, reloads or stops, it asks every EXTEND_EVERY seconds for
# EXTENSION seconds more. The first request is sent at once, because systemd waits no
# longer than TimeoutStartSec or TimeoutStopSec without one.
EXTENSION, EXTEND_EVERY = 30.0, 5.0
_WITH_TIMEOUT = (ServiceState.STARTING, ServiceState.RELOADING, ServiceState.STOPPING)


def without_private(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a copy of an environment without the variables in PRIVATE."""
    return {name: value for name, value in environ.items() if name not in PRIVATE}


class Notifier:
    """Sends notifications and never waits; runs in the master, whose pid is `pid`.

    While the socket is full, a change of the stage is kept until there is room. All
    other messages are dropped, because later ones replace them.
    """

    def __init__(self, environ: Mapping[str, str], pid: int) -> None:
        self._address = environ.get(SOCKET, "")
        self._unsent: list[str] = []
        self._watchdog = _watchdog_seconds(environ, pid)
        self._last: PoolStatus | None = None
        self._last_line = ""
        # Whether a line is to be sent that came too soon after the last one.
        self._is_held_back = False
        self._status_at = self._feed_at = self._extend_at = self._tried_at = 0.0

    def turn(self, now: float, status: PoolStatus) -> None:
        """Send what is due: changes of the stage, the status, keep-alives, extensions.

        `now` is the time of time.monotonic().
        """
        if not self._address:
            return
        for stage in service_status.changes(self._last, status):
            self._unsent.append(_MESSAGES[stage]())
            self._extend_at = now  # each stage has its own timeout
        while self._unsent and _has_sent(self._unsent[0], self._address):
            del self._unsent[0]
        self._tried_at = now
        for message in (
            *self._status(now, status),
            *self._keep_alive(now),
            *self._extension(now, status),
        ):
            _has_sent(message, self._address)
        self._last = status

    def due(self) -> float:
        """Return when systemd is to be notified, if nothing happens."""
        if not self._address:
            return NEVER
        due = [self._status_at + (SOONEST if self._is_held_back else LATEST)]
        if self._watchdog:
            due.append(self._feed_at)
        if self._last is not None and self._last.stage in _WITH_TIMEOUT:
            due.append(self._extend_at)
        if self._unsent:
            due.append(self._tried_at + SOONEST)
        return min(due)

    def _status(self, now: float, status: PoolStatus) -> Iterator[str]:
        line = service_status.describe(status)
        has_changed = self._last is None or self._last.stage is not status.stage
        age = now - self._status_at
        if line != self._last_line and (has_changed or age >= SOONEST):
            self._last_line = line
            yield f"STATUS={line}"
        elif age < LATEST:
            self._is_held_back = line != self._last_line
            return
        self._is_held_back = False
        self._status_at = now

    def _keep_alive(self, now: float) -> Iterator[str]:
        if self._watchdog and now >= self._feed_at:
            self._feed_at = now + self._watchdog / 3
            yield "WATCHDOG=1"

    def _extension(self, now: float, status: PoolStatus) -> Iterator[str]:
        if status.stage in _WITH_TIMEOUT and now >= self._extend_at:
            self._extend_at = now + EXTEND_EVERY
            yield f"EXTEND_TIMEOUT_USEC={EXTENSION * 1e6:.0f}"


def _reloading() -> str:
    # systemd expects CLOCK_MONOTONIC, the clock of time.monotonic_ns().
    return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"


_MESSAGES: dict[ServiceState, Callable[[], str]] = {
    ServiceState.READY: lambda: "READY=1",
    ServiceState.RELOADING: _reloading,
    ServiceState.STOPPING: lambda: "STOPPING=1",
}


def _has_sent(message: str, address: str) -> bool:
    """Send one message; return False if it is to be sent again when there is room.

    A receiver that is gone must not stop the pool. An address that begins with @ has
    no file (unix(7), abstract).
    """
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(message.encode("utf-8", "replace"), target)
    except BlockingIOError:
        return False
    except (OSError, ValueError):
        return True
    return True


def _watchdog_seconds(environ: Mapping[str, str], pid: int) -> float:
    """Return the watchdog timeout in seconds; 0 without (sd_watchdog_enabled(3))."""
    text, owner = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    is_ours = not owner or owner == str(pid)
    return int(text) / 1e6 if text.isdigit() and is_ours else 0.0
