"""Being told of new jobs: lengths of queues, and word when they change.

The master reads the lengths on a connection with tracking on (CLIENT TRACKING,
RESP3); the next change of a key that was read, by whatever client, makes the
server send one message. On a server without tracking there are no messages, and
the caller looks again at its own interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resqued.store.connection import SingleLink
from resqued.store.job_queues import means_pause
from resqued.wire.keys import Keys
from resqued.wire.queue_list import QueueList


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """What there is to do: lengths of the queues that are not empty, or a pause."""

    lengths: Mapping[str, int]
    is_paused: bool


class QueueTracking:
    """The master's look at the queues, over a connection of its own."""

    def __init__(self, url: str, keys: Keys, *, timeout: float) -> None:
        self._link = SingleLink(url, timeout=timeout)
        self._keys = keys
        self.is_tracking = False
        self._has_word = False
        # The keys that the last messages named, and the queues that the last look
        # found empty, by their keys.
        self._changed: list[bytes] = []
        self._empty: dict[bytes, str] = {}

    def open(self) -> None:
        """Connect and turn tracking on, where the server has it."""
        self.is_tracking = self._link.listen(self._hear)

    def _hear(self, message: Any) -> object:
        self._has_word = True
        # Without keys: the whole database was emptied.
        self._changed += message[1] or ()
        return message

    def fileno(self) -> int | None:
        """Return the descriptor to wait on, or None without a connection."""
        return self._link.fileno()

    def drain(self) -> list[str]:
        """Read the messages that have arrived; raise StoreError at end of file.

        Answers the queues that have been pushed to, as far as that is certain: an
        empty one can change in no other way.
        """
        self._changed.clear()
        self._link.drain()
        return [self._empty[key] for key in self._changed if key in self._empty]

    def look(self, lists: Iterable[QueueList]) -> QueueSnapshot:
        """Read the lengths of all queues that the lists mean, and the pause key.

        Reading them on this connection is what asks for the next message. One
        that arrives among the replies asks for another look: see has_changed.
        """
        self._has_word = False
        lists = tuple(lists)
        known: list[str] = []
        if any(item.is_dynamic for item in lists):
            members = self._link.call("SMEMBERS", self._keys.queues)
            known = [name.decode("utf-8", "surrogateescape") for name in members]
        names = list(dict.fromkeys(n for item in lists for n in item.match(known)))
        paused, *lengths = self._link.pipeline(
            [("GET", self._keys.paused)]
            + [("LLEN", self._keys.queue(name)) for name in names]
        )
        # A message right behind the last reply has been read with it.
        self._link.drain()
        sizes = dict(zip(names, lengths, strict=True))
        look = QueueSnapshot(
            {n: size for n, size in sizes.items() if size}, means_pause(paused)
        )
        empty = () if look.is_paused else sizes.keys() - look.lengths
        self._empty = self._by_key(empty)
        return look

    def _by_key(self, names: Iterable[str]) -> dict[bytes, str]:
        return {
            self._keys.queue(name).encode("utf-8", "surrogateescape"): name
            for name in names
        }

    @property
    def has_changed(self) -> bool:
        """Whether something has changed since the last look began."""
        return self._has_word

    def close(self) -> None:
        """Give the connection up; open makes a new one."""
        self._link.close()
