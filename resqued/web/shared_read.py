"""Values that all requests share, each read from Redis at most once a second.

The request that finds a value old reads a new one; others get the last one. A value
that takes long to read is kept up by a thread while requests ask for it, and they all
get the last one at once. While Redis does not answer, one thread a second tries again,
whatever value it wants.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from resqued.errors import StoreError

T = TypeVar("T")

# A value that is older is read again, in seconds; a failed attempt counts as long.
MAX_AGE = 1.0
# A value that takes longer to read is not read by a request, if one of the last seconds
# is there. A thread reads it, for this share of its time, until nobody has looked for
# so many seconds.
SLOW, OLDEST, SHARE, UNSEEN = 0.03, 2.0, 0.25, 10.0


class Breaker:
    """Whether Redis answers; while it does not, lets one thread a second try."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_tried = False
        self._next_try = 0.0
        self.problem: StoreError | None = None

    def may_try(self) -> bool:
        """Return True if the caller may ask Redis; it must say what came of it."""
        with self._lock:
            if self.problem is None:
                return True
            if self._is_tried or time.monotonic() < self._next_try:
                return False
            self._is_tried = True
            return True

    def end_try(self, problem: StoreError | None) -> None:
        """Note that Redis has answered, or the error with which it has not."""
        with self._lock:
            self.problem, self._is_tried = problem, False
            # Measured from the end, so that a slow server is not asked all the time.
            self._next_try = time.monotonic() + MAX_AGE


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """A value, and when it was read by the clock of this host.

    `problem` is why no newer one could be read, or "".
    """

    value: T
    taken_at: float
    problem: str = ""


class SharedRead(Generic[T]):
    """The last reading of one value; safe to use from several threads."""

    def __init__(self, read: Callable[[], T], breaker: Breaker) -> None:
        self._read = read
        self._breaker = breaker
        self._lock = threading.Lock()
        self._last: Reading[T] | None = None
        self._problem: StoreError | None = None
        self._tried_at = float("-inf")
        self._is_forgotten = False
        self._took = 0.0
        self._looked_at = 0.0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def get(self) -> Reading[T]:
        """Return a reading of the last second, or the last one with its problem.

        Raises StoreError if none could be read so far.
        """
        self._looked_at = time.monotonic()
        return self.value()

    def value(self) -> Reading[T]:
        """Return what `get` returns, which does not count as a look."""
        must_wait = self._last is None or self._is_forgotten
        if not must_wait and self._is_kept_up():
            assert self._last is not None
            return self._last
        if self._is_due() and self._lock.acquire(blocking=must_wait):
            try:
                if self._is_due():
                    self._refresh()
            finally:
                self._lock.release()
        if self._last is None:
            assert self._problem is not None
            raise self._problem
        return self._last

    def forget(self) -> None:
        """Let the next reader wait for a new reading, since an action has changed it.

        A reading that another thread has begun before does not count.
        """
        self._is_forgotten = True

    def _is_slow(self, limit: float) -> bool:
        """Return whether reading takes long, or fails, which may take longer."""
        return self._took > limit or (
            self._last is not None and self._last.problem > ""
        )

    def _is_kept_up(self) -> bool:
        """Have a thread keep up a slow value; False if it is none, or too old."""
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return True
            if not self._is_slow(SLOW) or time.monotonic() - self._tried_at > OLDEST:
                return False
            name = "resqued shared read"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()
            return True

    def _run(self) -> None:
        """Read the value again and again, while it is looked at and slow."""
        # Not at the same limit: a value near it would have a thread now and then.
        while self._is_slow(SLOW / 3) and time.monotonic() - self._looked_at < UNSEEN:
            age = time.monotonic() - self._tried_at
            time.sleep(max(0.0, MAX_AGE - age, self._took / SHARE - age))
            with self._lock:
                if self._is_due():
                    self._refresh()

    def _is_due(self) -> bool:
        return self._is_forgotten or time.monotonic() - self._tried_at >= MAX_AGE

    def _refresh(self) -> None:
        self._is_forgotten = False
        if not self._breaker.may_try():
            self._fail(self._breaker.problem)
            return
        problem: StoreError | None = None
        began = time.monotonic()
        try:
            self._last = Reading(self._read(), time.time())
            self._took = time.monotonic() - began
        except StoreError as error:
            problem = error
            self._fail(error)
        finally:
            self._breaker.end_try(problem)
            self._tried_at = time.monotonic()

    def _fail(self, problem: StoreError | None) -> None:
        # None: another thread has just had an answer, so the next reader tries.
        self._problem = problem or StoreError("Redis has just come back: try again")
        if self._last:
            self._last = replace(self._last, problem=str(self._problem))
