"""A value that all requests share for some seconds, so that many pages cost one read.

The request that finds it old reads it; others get the last one meanwhile. After a
failure, no request asks again for a second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from resqued.errors import StoreError

T = TypeVar("T")
# How long a failure counts, in seconds.
_AFTER_FAILURE = 1.0


class KeptValue(Generic[T]):
    """A value that `read` returns, kept for `max_age` seconds; safe for threads."""

    def __init__(self, read: Callable[[], T], max_age: float) -> None:
        self._read = read
        self._max_age = max_age
        self._lock = threading.Lock()
        self._value: tuple[T, ...] = ()
        self._problem: StoreError | None = None
        self._due_at = float("-inf")

    def get(self) -> T:
        """Return the value, or the last one if it cannot be read.

        Raises StoreError if it could not be read so far.
        """
        if self._is_due() and self._lock.acquire(blocking=not self._value):
            try:
                if self._is_due():
                    self._refresh()
            finally:
                self._lock.release()
        if not self._value:
            assert self._problem is not None
            raise self._problem
        return self._value[0]

    def get_or(self, default: T) -> T:
        """Return the value, or the default if it could not be read so far."""
        try:
            return self.get()
        except StoreError:
            return default

    def forget(self) -> None:
        """Let the next request read, since an action has changed something."""
        self._due_at = float("-inf")

    def _is_due(self) -> bool:
        return time.monotonic() >= self._due_at

    def _refresh(self) -> None:
        pause = _AFTER_FAILURE
        try:
            self._value, self._problem = (self._read(),), None
            pause = self._max_age
        except StoreError as error:
            self._problem = error
        finally:
            # From the end, so that a slow server is not asked all the time.
            self._due_at = time.monotonic() + pause
