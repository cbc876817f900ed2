"""Being told of new jobs: lengths of queues, and word when they change.

The master reads the lengths on a connection with tracking on (CLIENT TRACKING,
RESP3); the next change of a key that was read, by whatever client, makes the
server send one message. On a server without tracking there are no messages, and
the caller looks again at its own interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from resqued.core.keys import Keys
from resqued.core.queues import QueueList
from resqued.errors import StoreError
from resqued.store.connection import Link, translated


@dataclass(frozen=True, slots=True)
class Look:
    """What there is to do: lengths of the queues that are not empty, or a pause."""

    lengths: Mapping[str, int]
    is_paused: bool


class Watch:
    """The master's look at the queues, over a connection of its own."""

    def __init__(self, url: str, keys: Keys, *, timeout: float) -> None:
        self._link = Link(url, timeout=timeout, single=True)
        self._keys = keys
        self._is_open = False
        self.is_tracking = False

    def open(self) -> None:
        """Connect and turn tracking on, where the server has it."""
        with translated(self._link.url):
            connection = self._link.redis.connection
            connection.connect()
            self._is_open = True
            # Messages may arrive among replies; the look that they ask for
            # follows every reply anyway, so they are only counted as seen.
            connection._parser.set_invalidation_push_handler(_seen)  # noqa: SLF001
        try:
            self._link.call("CLIENT", "TRACKING", "ON")
            self.is_tracking = True
        except StoreError:
            # No RESP3, a proxy, or an ACL without the command: poll.
            self.is_tracking = False
            self._link.ping()

    def fileno(self) -> int | None:
        """Return the descriptor to wait on, or None without a connection."""
        sock = getattr(self._link.redis.connection, "_sock", None)
        return sock.fileno() if self._is_open and sock is not None else None

    def drain(self) -> None:
        """Read the messages that have arrived; raise StoreError at end of file."""
        connection = self._link.redis.connection
        with translated(self._link.url):
            while connection.can_read(timeout=0):
                connection.read_response(push_request=True)

    def look(self, lists: Iterable[QueueList]) -> Look:
        """Read the lengths of all queues that the lists mean, and the pause key.

        Reading them on this connection is what asks for the next message.
        """
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
        return Look(
            {name: n for name, n in zip(names, lengths, strict=True) if n},
            (paused or b"").strip().lower() == b"true",
        )

    def close(self) -> None:
        """Give the connection up; open makes a new one."""
        self._is_open = False
        self._link.close()


def _seen(message: object) -> object:
    return message
