"""Waiting for descriptors, which stay registered between waits, with callbacks."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from math import inf

# Called with the time, in seconds of the monotonic clock, when a descriptor is ready.
# Returns True if that concerns only the part that was called.
Callback = Callable[[float], bool | None]


class Poller:
    """Waits for descriptors; each is registered once, when it opens."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callback] = {}
        self._events: dict[int, int] = {}

    def register(
        self, fd: int, callback: Callback, events: int = select.POLLIN
    ) -> None:
        """Wait for a descriptor from now on; `events` are those of poll(2)."""
        self._poll.register(fd, events)
        self._callbacks[fd] = callback
        self._events[fd] = events

    def modify(self, fd: int, events: int) -> None:
        """Wait for other events of a descriptor, if it is registered."""
        if fd in self._events and self._events[fd] != events:
            self._poll.modify(fd, events)
            self._events[fd] = events

    def unregister(self, fd: int) -> None:
        """Stop waiting for a descriptor.

        Must be called before the descriptor is closed, because its number may be
        reused.
        """
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)
            del self._events[fd]

    @property
    def watched(self) -> Mapping[int, int]:
        """The events of each registered descriptor."""
        return self._events

    def wait(self, milliseconds: float) -> list[int]:
        """Return the descriptors that are ready; an empty list after `milliseconds`."""
        timeout = None if milliseconds == inf else milliseconds
        return [fd for fd, _ in self._poll.poll(timeout)]

    def call(self, ready: list[int], now: float) -> bool:
        """Call the callbacks of these descriptors, if they are still registered.

        Returns True if what happened concerns only the parts that were called.
        """
        is_own = True
        for fd in ready:
            callback = self._callbacks.get(fd)
            if callback is not None:
                is_own = bool(callback(now)) and is_own
        return is_own
