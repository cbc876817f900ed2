"""A value that all requests share for some seconds, so that many pages cost one read.

The request that finds it old reads it; others get the last one meanwhile. After a
failure, no request asks again for a second.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from resqued.errors import StoreError

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
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

    def last_or(self, default: T) -> T:
        """Return the last value without reading, or the default if there is none."""
        return self._value[0] if self._value else default

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


class KeptValues(Generic[K, T]):
    """Values by key, each kept as a KeptValue; the oldest of more than `most` go."""

    def __init__(self, read: Callable[[K], T], max_age: float, most: int) -> None:
        self._read = read
        self._max_age = max_age
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, KeptValue[T]] = OrderedDict()

    def get(self, key: K) -> T:
        """Return the value of a key; raise what KeptValue.get raises."""
        return self.of(key).get()

    def of(self, key: K) -> KeptValue[T]:
        """Return what keeps the value of a key; nothing is read."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                found = KeptValue(partial(self._read, key), self._max_age)
            self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found
