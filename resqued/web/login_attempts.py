"""Logins that failed, and how long the next attempt has to wait.

An attempt counts as failed from its beginning, so that many at once are no way around.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable

from msgspec import Struct

from resqued.web.proxies import address_in

# The longest pause and the age at which failures are forgotten, in seconds.
_FORGOTTEN_AFTER = 3_600.0
_MOST_SENDERS = 10_000
# Of an IPv6 address: one subscriber has all addresses of such a network.
_OWN_NETWORK = 64


class _Limit(Struct, frozen=True):
    """After `free` failures in a row each further one doubles the pause, to `longest`.

    `longest` is in seconds.
    """

    free: int
    longest: float

    def pause(self, failures: int) -> float:
        """Return the pause after so many failures, in seconds."""
        beyond = failures - self.free
        return 0.0 if beyond < 0 else min(self.longest, 2.0 ** min(beyond, 30))


FREE = 5
# For one name from one network.
_OF_NAME = _Limit(FREE, 300.0)
# For all names of one network: few guesses of many names are guesses too. The pause is
# short, because other users may come from the same network.
FREE_OF_NETWORK = 100
_OF_NETWORK = _Limit(FREE_OF_NETWORK, 10.0)


class _Failures:
    """Counts failures by sender, and forgets those that are least recent."""

    def __init__(self, limit: _Limit) -> None:
        self._limit = limit
        self._failed: dict[tuple[str, ...], tuple[int, float]] = {}

    def pause(self, sender: tuple[str, ...], now: float) -> float:
        number, last = self._failed.get(sender, (0, now))
        if now - last > _FORGOTTEN_AFTER:
            self.forget(sender)
            return 0.0
        return max(0.0, last + self._limit.pause(number) - now)

    def add(self, sender: tuple[str, ...], now: float) -> None:
        number, _ = self._failed.pop(sender, (0, 0.0))
        if len(self._failed) >= _MOST_SENDERS:
            self._failed.pop(next(iter(self._failed)))
        self._failed[sender] = number + 1, now

    def forget(self, sender: tuple[str, ...]) -> None:
        self._failed.pop(sender, None)


class LoginAttempts:
    """Counts failed logins by name and network; safe to use from threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_name = _Failures(_OF_NAME)
        self._by_network = _Failures(_OF_NETWORK)

    def begin(self, name: str, address: str) -> float:
        """Count an attempt as failed; or return how many seconds it has to wait.

        0 means that it may be made.
        """
        network, now = network_of(address), self._clock()
        with self._lock:
            by_name = self._by_name.pause((name, network), now)
            pause = max(by_name, self._by_network.pause((network,), now))
            if pause:
                return pause
            self._by_name.add((name, network), now)
            self._by_network.add((network,), now)
            return 0.0

    def succeed(self, name: str, address: str) -> None:
        """Forget the failures of a name that has logged in."""
        with self._lock:
            self._by_name.forget((name, network_of(address)))


def network_of(address: str) -> str:
    """Return what one sender has of an address: all of it, or the network of IPv6."""
    found = address_in(address)
    if found is None:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    number = int(found) >> (128 - _OWN_NETWORK)
    return f"{ipaddress.IPv6Address(number << (128 - _OWN_NETWORK))}/{_OWN_NETWORK}"
