"""Failed logins, and the pause after several of them."""

from __future__ import annotations

import threading
import time

# After so many failures in a row, each further one doubles the pause.
FREE = 5
_LONGEST_PAUSE = 300.0
_MOST_SENDERS = 10_000

Sender = tuple[str, str]


class LoginAttempts:
    """Counts failed logins by user name and address; safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed: dict[Sender, tuple[int, float]] = {}

    def pause(self, sender: Sender) -> float:
        """Return how many seconds are left before the next attempt may be made."""
        with self._lock:
            number, last = self._failed.get(sender, (0, 0.0))
        if number < FREE:
            return 0.0
        pause = min(_LONGEST_PAUSE, 2.0 ** (number - FREE))
        return max(0.0, last + pause - time.monotonic())

    def add(self, sender: Sender) -> None:
        """Count a failed login."""
        with self._lock:
            if len(self._failed) >= _MOST_SENDERS:
                self._failed.pop(next(iter(self._failed)))
            number, _ = self._failed.pop(sender, (0, 0.0))
            self._failed[sender] = number + 1, time.monotonic()

    def forget(self, sender: Sender) -> None:
        """Forget the failed logins of a sender who has logged in."""
        with self._lock:
            self._failed.pop(sender, None)
