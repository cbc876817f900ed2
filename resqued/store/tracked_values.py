"""Values that a master reads beside the queues, and reads again when they change.

They are read on the connection of QueueTracking, so that the server reports changes. A
server without tracking reports none: the caller forgets the values at an interval.
"""

from __future__ import annotations

from resqued.store.connection import SingleLink
from resqued.store.paused_queues import read_if_allowed, read_paused
from resqued.wire.keys import Keys


class TrackedValues:
    """The paused queues of one namespace, and whether somebody looks at its workers.

    As a master last read them: `paused` is None until it has. While somebody looks, the
    key is written every few seconds; a master that knows that does not read it for
    each of these changes, but calls `watch_ended` when it is gone.
    """

    def __init__(self, link: SingleLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._paused_key = keys.paused_queues.encode("utf-8", "surrogateescape")
        self._watch_key = keys.watch.encode("utf-8", "surrogateescape")
        self.paused: frozenset[str] | None = None
        self.is_watched = False
        self._is_paused_current = self._is_watch_current = False

    @property
    def is_current(self) -> bool:
        """Whether every value was read since its last change."""
        return self._is_paused_current and self._is_watch_current

    def forget(self) -> None:
        """Read every value again at the next `read`."""
        self._is_paused_current = self._is_watch_current = False

    def note(self, key: bytes) -> bool:
        """Note that a key has changed; return False if it is none of these."""
        if key == self._watch_key:
            self._is_watch_current = self._is_watch_current and self.is_watched
        elif key == self._paused_key:
            self._is_paused_current = False
        else:
            return False
        return True

    def watch_ended(self) -> None:
        """Note that nobody looks any more, as far as the caller has seen."""
        self.is_watched = self._is_watch_current = False

    def read(self) -> bool:
        """Read what has changed; return True if other queues are paused than before.

        Raises StoreError.
        """
        # Each is noted as current first: a change that is reported meanwhile counts.
        if not self._is_watch_current:
            self._is_watch_current = True
            found = read_if_allowed(self._link, "GET", self._keys.watch)
            self.is_watched = found is not None
        before = self.paused
        if not self._is_paused_current:
            self._is_paused_current = True
            self.paused = read_paused(self._link, self._keys)
        return self.paused != before
