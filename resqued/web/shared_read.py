"""Values that all requests share, each read from Redis at most once a second.

The request that finds a value old reads a new one; others get the last one. A value
that takes long to read is kept up by a thread while requests ask for it, and they all
get the last one at once. While Redis does not answer, one thread a second tries again,
whatever value it wants. A refusal is an answer: it concerns the value alone for which
Redis was asked.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from resqued.errors import StoreError
from resqued.store.store_errors import is_about_key

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

# A value that is older is read again, in seconds, unless it may be kept for longer. So
# long a failed attempt counts.
MAX_AGE = 1.0
# A value that takes longer to read is not read by a request, if one of the last seconds
# is there. A thread reads it, for this share of its time, until nobody has looked for
# so many seconds.
SLOW, OLDEST, SHARE, UNSEEN = 0.03, 2.0, 0.25, 10.0
# The name of such a thread.
THREAD = "resqued shared read"


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


class Reading(Struct, Generic[T], frozen=True):
    """A value, and when it was read by the clock of this host.

    `problem` is why no newer one could be read, or "".
    """

    value: T
    taken_at: float
    problem: str = ""


class SharedRead(Generic[T]):
    """The last reading of one value; safe to use from several threads.

    It is kept for `max_age` seconds.
    """

    def __init__(
        self, read: Callable[[], T], breaker: Breaker, max_age: float = MAX_AGE
    ) -> None:
        self._read = read
        self._breaker = breaker
        self._max_age = max_age
        self._lock = threading.Lock()
        self._last: Reading[T] | None = None
        self._problem: StoreError | None = None
        self._tried_at = self._due_at = float("-inf")
        self._is_forgotten = False
        self._took = 0.0
        self._looked_at = 0.0
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def get(self) -> Reading[T]:
        """Return a reading that is not too old, or the last one with its problem.

        Raises StoreError if none could be read so far, or if Redis has refused it.
        """
        self._looked_at = time.monotonic()
        return self.reading()

    def value(self) -> T:
        """Return the value of `get`; raise what it raises."""
        return self.get().value

    def value_or(self, default: T) -> T:
        """Return the value of `get`, or the default if there is none."""
        try:
            return self.value()
        except StoreError:
            return default

    def reading(self) -> Reading[T]:
        """Return what `get` returns, which does not count as a look."""
        last = self._last
        must_wait = last is None or self._is_forgotten
        if last is not None and not must_wait and self._is_kept_up():
            return last
        if self._is_due() and self._lock.acquire(blocking=must_wait):
            try:
                if self._is_due():
                    self._refresh()
            finally:
                self._lock.release()
        if (last := self._last) is None:
            assert self._problem is not None
            raise self._problem
        return last

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
        """Have a thread keep up a slow value; False if it is none, or too old.

        One that is kept for longer is read too rarely to need a thread.
        """
        if self._max_age > MAX_AGE:
            return False
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return True
            if not self._is_slow(SLOW) or time.monotonic() - self._tried_at > OLDEST:
                return False
            self._thread = threading.Thread(target=self._run, name=THREAD, daemon=True)
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
        return self._is_forgotten or time.monotonic() >= self._due_at

    def _refresh(self) -> None:
        self._is_forgotten = False
        if not self._breaker.may_try():
            self._fail(self._breaker.problem)
            return
        problem: StoreError | None = None
        pause = MAX_AGE
        began = time.monotonic()
        try:
            self._last = Reading(self._read(), time.time())
            self._took = time.monotonic() - began
            pause = self._max_age
        except StoreError as error:
            if is_about_key(error):
                # What was read before is not to be seen any more.
                self._last, self._problem = None, error
            else:
                problem = error
                self._fail(error)
        finally:
            self._breaker.end_try(problem)
            self._tried_at = time.monotonic()
            self._due_at = self._tried_at + pause

    def _fail(self, problem: StoreError | None) -> None:
        # None: another thread has just had an answer, so the next reader tries.
        self._problem = problem or StoreError("Redis has just come back: try again")
        if self._last:
            self._last = replace(self._last, problem=str(self._problem))


class SharedReads(Generic[K, T]):
    """Values by key, each a SharedRead; the oldest of more than `most` go."""

    def __init__(
        self, read: Callable[[K], T], breaker: Breaker, max_age: float, most: int
    ) -> None:
        self._read = read
        self._breaker = breaker
        self._max_age = max_age
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, SharedRead[T]] = OrderedDict()

    def of(self, key: K) -> SharedRead[T]:
        """Return the reading of a key; nothing is read yet."""
        with self._lock:
            found = self._kept.pop(key, None)
            if found is None:
                read = partial(self._read, key)
                found = SharedRead(read, self._breaker, self._max_age)
            self._kept[key] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found
