"""The line of masters that wait for a call, for each queue list, and the calls.

core/listening.py says when a master joins a line and calls the next one. A master in a
line is known by a number of its connection, to whose channel the call is published.
"""

from __future__ import annotations

import os
from typing import Any

from resqued.store.connection import SingleLink
from resqued.store.script import Script
from resqued.wire.keys import Keys

CALL = Script("call")
JOIN_LINE = Script("join_line")
# Seconds after which a line ends that nobody keeps: masters that were killed leave
# their numbers in it. A master keeps its place four times in that time; one that was
# busy for longer learns that it has none.
LIFE = 3_600
KEPT_EVERY = LIFE / 4


class WaitingLine:
    """The lines of a namespace, on the connection that receives the calls.

    Each method raises StoreError if Redis fails.
    """

    def __init__(self, link: SingleLink, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        # What the names of the channels begin with.
        self._channels = keys.line("")
        self._id = ""
        self._calls: list[str] = []
        # The lines that have a number of this master, with that number.
        self._places: dict[str, str] = {}

    def open(self) -> bool:
        """Subscribe to the calls of this connection; return False if that is refused.

        An ACL may refuse it, and servers without RESP3 have no such messages. Leaves
        the lines in which the last connection stood: nobody can be called there.
        """
        self._calls.clear()
        for queues in list(self._places):
            self.leave(queues)
        self._id = os.urandom(8).hex()
        return self._link.subscribe(self._channels + self._id, self._on_message)

    def _on_message(self, message: Any) -> object:
        if message[0] == b"message":
            self._calls.append(message[2].decode("utf-8", "surrogateescape"))
        return message

    @property
    def is_called(self) -> bool:
        """Whether this master was called since last time."""
        return bool(self._calls)

    def take_calls(self) -> list[str]:
        """Return the queue lists for which this master was called since last time."""
        calls, self._calls = self._calls, []
        for queues in calls:
            self._places.pop(queues, None)
        return calls

    def join(self, queues: str) -> int:
        """Go to the end of the line of a queue list; return the length of the line."""
        self._places[queues] = self._id
        length = self._join(queues, "")
        self._link.drain()
        return length

    def keep(self, queues: str) -> bool:
        """Keep the place in a line; return False if this master has none there."""
        if self._join(queues, "1"):
            return True
        self._places.pop(queues, None)
        return False

    def _join(self, queues: str, is_kept: str) -> int:
        args = (self._id, str(LIFE), is_kept)
        return int(JOIN_LINE(self._link, (self._keys.line(queues),), args))

    def call(self, queues: str, count: int) -> int:
        """Call the next masters in the line; return how many were reached."""
        args = (str(count), self._channels, queues)
        reached = int(CALL(self._link, (self._keys.line(queues),), args))
        # A message directly after the reply, perhaps to this master itself, may be in
        # the buffer already: the descriptor does not show it.
        self._link.drain()
        return reached

    def leave(self, queues: str) -> None:
        """Leave the line of a queue list."""
        if place := self._places.get(queues):
            # A key of another type is no error: it has no place of this master.
            self._link.read_each([("LREM", self._keys.line(queues), 1, place)])
            del self._places[queues]
