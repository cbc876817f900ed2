"""How long to wait before trying again: for slots that die, and for Redis."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Backoff:
    """A wait that doubles with each failure in a row, up to a cap."""

    first: float
    cap: float
    failures: int = 0
    ready_at: float = 0.0

    def failed(self, now: float, jitter: float) -> Backoff:
        """One more failure; jitter in 0..1 spreads those who failed together."""
        delay = min(self.cap, self.first * 2.0 ** min(self.failures, 32))
        # Up to a quarter less: never longer than the cap that people were told.
        return replace(
            self,
            failures=self.failures + 1,
            ready_at=now + delay * (1.0 - jitter / 4),
        )

    def succeeded(self) -> Backoff:
        """Start afresh."""
        return replace(self, failures=0, ready_at=0.0)
