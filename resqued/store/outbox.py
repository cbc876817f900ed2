"""The outbox of a back end: failures that another service still gets.

The script that records a failure puts a copy there (push_failure.lua). One process of
all masters takes them, one at a time, and removes each when the service has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec import Struct

from resqued.store.captured import Captured
from resqued.store.connection import Link, SingleLink
from resqued.store.failure_entry import Failure
from resqued.store.script import Script
from resqued.wire.keys import Keys

TAKE_DELIVERY = Script("take_delivery")
END_DELIVERY = Script("end_delivery")
RELEASE = Script("release")

# For how long the server waits for a failure when there is none, in seconds.
_WAIT = 10


class Delivery(Struct, frozen=True):
    """A failure in the hand of this process.

    `id` is the same at each try: 32 hex digits, made of its number and its bytes.
    """

    element: bytes

    @property
    def id(self) -> str:
        """The id of the delivery."""
        return hashlib.sha256(self.element).hexdigest()[:32]

    @property
    def failure(self) -> Failure:
        """The failure."""
        return Failure(self.element.partition(b":")[2])


class Taken(Struct, frozen=True):
    """The answer of the server: is this process the owner, and what is in its hand.

    `dropped` is how many failures the full outbox has lost since the last answer.
    """

    is_owner: bool
    dropped: int = 0
    delivery: Delivery | None = None


class OutboxState(Struct, frozen=True):
    """How many failures a back end still gets, and when the oldest of them failed.

    `dropped` is how many its full outbox has lost, and no deliverer has logged yet.
    """

    backend: str
    waiting: int
    oldest_at: datetime | None = None
    dropped: int = 0


def outbox_states(
    link: Link, keys: Keys, backends: Iterable[str]
) -> Iterator[OutboxState]:
    """Yield the states of outboxes; changes nothing. Raises StoreError."""
    for name in backends:
        length, first, hand, dropped = link.read_each(
            [
                ("LLEN", keys.outbox(name)),
                ("LINDEX", keys.outbox(name), 0),
                ("LINDEX", keys.outbox_hand(name), 0),
                ("HGET", keys.outbox_dropped, name),
            ]
        )
        oldest = hand or first
        at = Delivery(oldest).failure.failed_at if oldest else None
        lost = int(dropped) if (dropped or b"").isdigit() else 0
        yield OutboxState(name, (length or 0) + bool(hand), at, lost)


class Outbox:
    """The outbox of one back end. Each method raises StoreError if Redis fails.

    `token` names the owner: it is the same for two processes of one master, of which
    the second replaces the first. `lease` is in seconds, longer than a delivery and the
    wait for a failure take. The time-out of the link must be longer than that wait,
    which is 10 s.
    """

    def __init__(
        self, link: SingleLink, keys: Keys, backend: str, *, token: str, lease: float
    ) -> None:
        self._link = link
        self._backend = backend
        self._lease = str(int(lease * 1000))
        self._token = token
        self._owner = keys.outbox_owner(backend)
        self._hand = keys.outbox_hand(backend)
        self._list = keys.outbox(backend)
        self._dropped = keys.outbox_dropped
        self._captured = Captured(link, keys)

    def take(self) -> Taken:
        """Renew the lease, and return what is in the hand, or the next failure."""
        names = (self._owner, self._hand, self._list, self._dropped)
        args = (self._token, self._lease, self._backend)
        is_owner, *found = TAKE_DELIVERY(self._link, names, args)
        if not is_owner:
            return Taken(is_owner=False)
        dropped, element = found
        delivery = Delivery(element) if element is not None else None
        return Taken(is_owner=True, dropped=dropped, delivery=delivery)

    def captured(self, failure: Failure) -> str:
        """Return what the back end has kept of the exception; "" if nothing."""
        return self._captured.find(self._backend, failure)

    def wait(self) -> None:
        """Return when a failure has come into the hand, or after 10 s."""
        self._link.call("BLMOVE", self._list, self._hand, "LEFT", "RIGHT", _WAIT)

    def end(self, delivery: Delivery, *, again: bool) -> None:
        """Take a failure out of the hand; `again` puts it behind the others."""
        args = (delivery.element, "1" if again else "0")
        END_DELIVERY(self._link, (self._hand, self._list), args)

    def release(self) -> None:
        """Give the lease back, on a new connection: a reply may be outstanding."""
        self._link.close()
        RELEASE(self._link, (self._owner,), (self._token,))
