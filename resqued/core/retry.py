"""Whether a failed job is tried again, and after which delay.

Takes the number of the attempt, names of classes and times; knows no exceptions.
"""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from msgspec import Struct

# The longest delay, in seconds: what 2 ** attempt gives must stay a time.
LONGEST_DELAY = 365 * 86_400.0
# How often a job may be tried again at most.
MOST_TIMES = 10_000


class Spacing(Struct, frozen=True):
    """How attempts follow each other; times are in seconds.

    The delay before attempt n + 1 is `delay` * `factor` ** (n - 1), at most
    `max_delay`, and up to the share `jitter` longer or shorter. `within` is the time
    from the first attempt in which the next one must be due; 0 is without limit.
    """

    times: int
    delay: float = 10.0
    factor: float = 2.0
    jitter: float = 0.1
    max_delay: float = 86_400.0
    within: float = 0.0

    def after(self, attempt: int, *, age: float, chance: float) -> float | None:
        """Return the delay after attempt number `attempt`; None if it was the last.

        `age` is how many seconds ago the first attempt began; `chance` is from 0 to 1.
        """
        delay = self._grown(attempt)
        delay += delay * self.jitter * (2 * chance - 1)
        return self.allowed(attempt, delay, age=age)

    @property
    def first_delay(self) -> float:
        """The delay before the second attempt, without its jitter."""
        return min(self._grown(1), LONGEST_DELAY)

    def _grown(self, attempt: int) -> float:
        try:
            return min(self.delay * self.factor ** (attempt - 1), self.max_delay)
        except OverflowError:
            return self.max_delay if self.delay else 0.0

    def allowed(self, attempt: int, delay: float, *, age: float) -> float | None:
        """Return `delay`, if another attempt may follow after it; else None."""
        delay = min(max(delay, 0.0), LONGEST_DELAY)
        ends = self.within or inf
        return None if attempt > self.times or age + delay > ends else delay


def matches(entry: str, names: Collection[str]) -> bool:
    """Return True if an exception has a class of this name.

    `names` are the full names of its class and of the bases; `entry` is one of them, or
    the last part of one.
    """
    if "." in entry:
        return entry in names
    return any(entry == name.rpartition(".")[2] for name in names)


def is_wanted(
    names: Collection[str], on: Collection[str], unless: Collection[str]
) -> bool:
    """Return True if an exception with these names is one to try again after."""
    return any(matches(entry, names) for entry in on) and not any(
        matches(entry, names) for entry in unless
    )
