"""Exponential back-off, for slots whose workers die and for connections to Redis."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace


class Backoff(Struct, frozen=True):
    """A wait that doubles with each failure in a row, up to a cap.

    `first` and `cap` are seconds. `ready_at` is the time of the next try, on the
    caller's clock; 0 if the last try succeeded.
    """

    first: float
    cap: float
    failures: int = 0
    ready_at: float = 0.0

    def failed(self, now: float, jitter: float) -> Backoff:
        """Return the back-off after one more failure, at the time `now`.

        `jitter`, a number in 0..1, shortens the wait by up to a half, so that
        those that failed together do not all try again together.
        """
        delay = min(self.cap, self.first * 2.0 ** min(self.failures, 32))
        # Jitter only shortens the wait: the documentation names the cap.
        return replace(
            self,
            failures=self.failures + 1,
            ready_at=now + delay * (1.0 - jitter / 2),
        )

    def succeeded(self) -> Backoff:
        """Return the back-off after a success: no failures and no wait."""
        return replace(self, failures=0, ready_at=0.0)
