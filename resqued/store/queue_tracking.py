"""Lengths of queues, and messages from the server when they change.

The master reads the lengths on a connection with CLIENT TRACKING (RESP3). When any
client changes a key that was read, the server sends one message. A server without
tracking sends none, and the caller must read the lengths at an interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from resqued.store.connection import SingleLink
from resqued.store.job_queues import means_pause
from resqued.store.write_check import check_writes
from resqued.wire.keys import Keys
from resqued.wire.queue_list import QueueList


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """The lengths of the queues that are not empty, by name, and whether all pause."""

    lengths: Mapping[str, int]
    is_paused: bool


class QueueTracking:
    """The master's connection for reading and tracking queues.

    `is_tracking` is True if the server sends messages. `timeout` is in seconds.
    """

    def __init__(self, url: str, keys: Keys, *, timeout: float) -> None:
        self._link = SingleLink(url, timeout=timeout)
        self._keys = keys
        self.is_tracking = False
        # Whether the database was emptied; for the reader to set back.
        self.was_emptied = False
        self._has_changed = False
        # The keys that the last messages named, and the queues that were empty when
        # they were last read, by their keys.
        self._changed: list[bytes] = []
        self._empty: dict[bytes, str] = {}

    def open(self) -> None:
        """Connect, and turn tracking on if the server has it; raise StoreError."""
        self.is_tracking = self._link.listen(self._on_message)

    def _on_message(self, message: Any) -> object:
        self._has_changed = True
        # A message without keys means that the whole database was emptied.
        self.was_emptied |= message[1] is None
        self._changed += message[1] or ()
        return message

    def check_writes(self) -> None:
        """Raise StoreError unless the server takes writes; changes nothing."""
        check_writes(self._link, self._keys)

    def fileno(self) -> int | None:
        """Return the connection's descriptor, or None without a connection."""
        return self._link.fileno()

    def drain(self) -> list[str]:
        """Read the messages that have arrived; return the queues that have new jobs.

        The list has only queues that were empty: they can change in no other way.
        Raises StoreError at end of file.
        """
        self._changed.clear()
        self._link.drain()
        return [self._empty[key] for key in self._changed if key in self._empty]

    def look(self, lists: Iterable[QueueList]) -> QueueSnapshot:
        """Read the lengths of all queues that the lists match, and the pause key.

        Reading a key on this connection makes the server report its next change. If
        such a message arrives among the replies, has_changed is True afterwards, and
        the caller must read again. Raises StoreError.
        """
        self._has_changed = False
        lists = tuple(lists)
        known: list[str] = []
        if any(item.is_dynamic for item in lists):
            members = self._link.call("SMEMBERS", self._keys.queues)
            known = [name.decode("utf-8", "surrogateescape") for name in members]
        names = list(dict.fromkeys(n for item in lists for n in item.match(known)))
        paused, *lengths = self._link.read_each(
            [("GET", self._keys.paused)]
            + [("LLEN", self._keys.queue(name)) for name in names]
        )
        # A message directly after the last reply may be in the buffer already.
        self._link.drain()
        sizes = dict(zip(names, lengths, strict=True))
        snapshot = QueueSnapshot(
            {n: size for n, size in sizes.items() if size}, means_pause(paused)
        )
        empty = () if snapshot.is_paused else sizes.keys() - snapshot.lengths
        self._empty = self._by_key(empty)
        return snapshot

    def _by_key(self, names: Iterable[str]) -> dict[bytes, str]:
        return {
            self._keys.queue(name).encode("utf-8", "surrogateescape"): name
            for name in names
        }

    @property
    def has_changed(self) -> bool:
        """True if a key has changed since the last call of `look` began."""
        return self._has_changed

    def close(self) -> None:
        """Close the connection; `open` makes a new one."""
        self._link.close()
