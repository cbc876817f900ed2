"""Values that all requests share, each read from Redis at most once a second.

The request that finds a value old reads a new one; others get the last one. While
Redis does not answer, one request a second tries again, whatever value it wants, and
all others get the last value at once.
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

    def get(self) -> Reading[T]:
        """Return a reading of the last second, or the last one with its problem.

        Raises StoreError if none could be read so far.
        """
        must_wait = self._last is None or self._is_forgotten
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

    def _is_due(self) -> bool:
        return self._is_forgotten or time.monotonic() - self._tried_at >= MAX_AGE

    def _refresh(self) -> None:
        self._is_forgotten = False
        if not self._breaker.may_try():
            self._fail(self._breaker.problem)
            return
        problem: StoreError | None = None
        try:
            self._last = Reading(self._read(), time.time())
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
