"""Lengths of queues, and messages from the server when they change.

The master reads the lengths on a connection with CLIENT TRACKING (RESP3). When any
client changes a key that was read, the server sends one message. A server without
tracking sends none, and the caller must read the lengths at an interval.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from resqued.errors import StoreError
from resqued.store.connection import Link, SingleLink
from resqued.store.job_queues import means_pause
from resqued.store.store_errors import RefusedError, is_wrong_type
from resqued.store.tracked_values import TrackedValues
from resqued.store.waiting_line import WaitingLine
from resqued.store.write_check import check_writes
from resqued.wire.keys import Keys
from resqued.wire.queue_list import QueueList

# From so many names on, the set of queues is read no more often than this many seconds
# for each name: a new queue for each customer must not fill the time of the master.
_FEW = 1_000
_NAME_COST = 20e-6

# So many lengths that are known are read all the same, once in so many seconds: no
# message reports what SWAPDB brings, or what a proxy loses.
_RECHECKED = 50
RECHECK_EVERY = 60.0


class QueueSnapshot(Struct, frozen=True):
    """The lengths of the queues that are not empty, by name, and whether all pause.

    Paused queues are left out.
    `odd` are keys of another type among those that were read, as fields of the log:
    ("queue", its name), or ("key", that of the set of names).
    """

    lengths: Mapping[str, int]
    is_paused: bool
    odd: Sequence[tuple[str, str]] = ()


class QueueTracking:
    """The master's connection for reading and tracking queues.

    `is_tracking` is True if the server sends messages. Values that were read are then
    kept until a message reports a change, so that 10,000 quiet queues cost nothing.
    `is_callable` is True if the master can wait in a line for a call. `timeout` is in
    seconds. `plain` is a link without tracking: what is read there makes the server
    send no message.
    """

    def __init__(self, url: str, keys: Keys, plain: Link, *, timeout: float) -> None:
        self._link = SingleLink(url, timeout=timeout, namespace=keys.namespace)
        self._plain = plain
        self._keys = keys
        self.line = WaitingLine(self._link, keys)
        self.values = TrackedValues(self._link, keys)
        self.is_callable = False
        self._set_key = keys.queues.encode("utf-8", "surrogateescape")
        self.is_tracking = False
        # Whether the database was emptied; the reader resets it.
        self.was_emptied = False
        # Whether the last `drain` has read a change.
        self.was_changed = False
        self._changed: list[bytes | None] = []
        self._is_paused = False
        self._pause_key = keys.paused.encode("utf-8", "surrogateescape")
        self._forget()

    def _forget(self) -> None:
        # The names in the set of queues, whether they are up to date, and when they may
        # be read again, on the clock of the caller; and the lists that they are matched
        # with.
        self._known: set[str] = set()
        self._has_names = True
        self._is_current = False
        self._read_names_at = 0.0
        self._lists: set[QueueList] = set()
        # The queues that any list serves, by their keys; the lengths that are up to
        # date.
        self._served: dict[bytes, str] = {}
        self._lengths: dict[bytes, int] = {}
        # Whether the pause key was read, and has not changed.
        self._is_pause_known = False
        # The known lengths to read again, in turn, and when.
        self._to_recheck: deque[bytes] = deque()
        self._recheck_at = 0.0

    def open(self) -> None:
        """Connect, and turn tracking on if the server has it; raise StoreError."""
        self._changed.clear()
        self._forget()
        self.values.forget()
        self.is_tracking = self._link.listen(self._on_message)
        self.is_callable = self.is_tracking and self.line.open()

    def _on_message(self, message: Any) -> object:
        # A message without keys means that the whole database was emptied.
        if message[1] is None:
            self.was_emptied = True
            self.values.forget()
            self._changed.append(None)
        else:
            # What is read beside the queues is no reason to look at them.
            self._changed += [key for key in message[1] if not self.values.note(key)]
        return message

    def check_writes(self) -> None:
        """Raise StoreError unless the server accepts writes; changes nothing."""
        check_writes(self._link, self._keys)

    def fileno(self) -> int | None:
        """Return the connection's descriptor, or None without a connection."""
        return self._link.fileno()

    @property
    def has_messages(self) -> bool:
        """Whether messages were read that nobody has acted on."""
        return bool(self._changed) or self.line.is_called

    def workers(self) -> int:
        """Return how many workers of resqued are registered; 0 if that is refused."""
        try:
            return int(self._plain.call("HLEN", self._keys.identities))
        except RefusedError:
            return 0

    def drain(self) -> list[str]:
        """Read the messages that have arrived; return the queues that have new jobs.

        The list has only queues that were empty: they can change in no other way.
        Raises StoreError at end of file.
        """
        self._link.drain()
        self.was_changed = bool(self._changed)
        return self._take_changes()

    def _take_changes(self) -> list[str]:
        """Forget changed values; return the changed queues that were empty."""
        changed, self._changed = self._changed, []
        pushed = []
        for key in changed:
            if key is None:
                self._forget()
            elif key == self._set_key:
                self._is_current = False
            elif key == self._pause_key:
                self._is_pause_known = False
            elif self._lengths.pop(key, None) == 0 and not self._is_paused:
                pushed += [self._served[key]] if key in self._served else []
        paused = self._paused_queues
        return [name for name in pushed if name not in paused]

    @property
    def _paused_queues(self) -> frozenset[str]:
        return self.values.paused or frozenset()

    def look(self, lists: Iterable[QueueList], now: float) -> QueueSnapshot:
        """Return the lengths of all queues that the lists match, and the pause key.

        Reads only values that are not known or have changed. Reading a key on this
        connection makes the server report its next change; `again_at` returns when to
        call this again for changes that happened meanwhile. `now` is in seconds of any
        clock. Raises StoreError.
        """
        if not self.is_tracking:
            self._forget()
        self._link.drain()
        self._take_changes()
        self._recheck(now)
        self._serve(set(lists), now)
        unknown = self._unknown()
        # A look without any command would not notice that the server is gone. The end
        # of a pause that expires is reported late, unless somebody reads the key.
        reads_pause = self._is_paused or not (self._is_pause_known and unknown)
        lengths = self._read(self._link, unknown, reads_pause=reads_pause)
        self._is_pause_known = True
        # A message directly after the last reply may be in the buffer already.
        self._link.drain()
        return self._snapshot(unknown, lengths)

    def peek(self, lists: Iterable[QueueList], now: float) -> QueueSnapshot:
        """Return the same as `look`, as far as it is known or can be read.

        The server reports no change of the lengths that this reads; they are read again
        at the next call. The pause key is read only if it was set before. Raises
        StoreError.
        """
        self._serve(set(lists), now)
        before, unknown = dict(self._lengths), self._unknown()
        lengths = self._read(self._plain, unknown, reads_pause=self._is_paused)
        found = self._snapshot(unknown, lengths)
        self._lengths = before
        return found

    def _recheck(self, now: float) -> None:
        """Forget a few lengths, and few names of queues; they are read again then."""
        if now < self._recheck_at:
            return
        self._recheck_at = now + RECHECK_EVERY
        if len(self._known) <= _RECHECKED:
            self._is_current = False
        self._to_recheck = self._to_recheck or deque(self._lengths)
        for _ in range(min(_RECHECKED, len(self._to_recheck))):
            self._lengths.pop(self._to_recheck.popleft(), None)

    def _read(
        self, link: Link, unknown: Iterable[bytes], *, reads_pause: bool
    ) -> list[int | None]:
        """Return the lengths of queues; read the pause key too, if that is asked for.

        A length is None for a key of another type.
        """
        pause = [("GET", self._keys.paused)] if reads_pause else []
        replies = link.read_each([*pause, *(("LLEN", key) for key in unknown)])
        if reads_pause:
            self._is_paused = means_pause(replies.pop(0))
        return replies

    def _unknown(self) -> list[bytes]:
        """Return the keys of the queues whose lengths must be read.

        Those of paused queues need not: the server then reports no push to them.
        """
        unknown = [key for key in self._served if key not in self._lengths]
        if paused := self._paused_queues:
            return [key for key in unknown if self._served[key] not in paused]
        return unknown

    def _snapshot(
        self, unknown: Sequence[bytes], lengths: Sequence[int | None]
    ) -> QueueSnapshot:
        """Return what is known, with the lengths that `_read` has returned."""
        # None: a key of another type, which has no jobs.
        read = zip(unknown, lengths, strict=True)
        odd = [("queue", self._served[key]) for key, n in read if n is None]
        if not self._has_names:
            odd.append(("key", self._keys.queues))
        self._lengths.update(zip(unknown, (n or 0 for n in lengths), strict=True))
        full = {self._served[key]: n for key, n in self._lengths.items() if n}
        for name in self._paused_queues & full.keys():
            del full[name]
        return QueueSnapshot(full, self._is_paused, odd)

    def again_at(self, now: float) -> float | None:
        """Return when to call `look` again because of a change; None without a change.

        `now` is on the clock of `look`.
        """
        if self._changed:
            return now
        is_stale = self.is_tracking and not self._is_current and self._has_patterns
        return self._read_names_at if is_stale else None

    @property
    def _has_patterns(self) -> bool:
        return any(item.is_dynamic for item in self._lists)

    def _serve(self, lists: set[QueueList], now: float) -> None:
        """Update the queues that any list serves."""
        added, self._lists = lists - self._lists, self._lists | lists
        for item in added:
            self._add(item.match(self._known))
        is_due = not self._is_current and now >= self._read_names_at
        if is_due and self._has_patterns:
            self._read_names(now)

    def _read_names(self, now: float) -> None:
        """Read the set of queues; a large set takes at most half of the time."""
        self._is_current = True
        self._has_names = True
        try:
            found = self._link.members(self._keys.queues)
        except StoreError as error:
            if not is_wrong_type(error):
                raise
            # No set has no names, as in the scripts: queues in lists are still served.
            found, self._has_names = set(), False
        names = {name.decode("utf-8", "surrogateescape") for name in found}
        if len(names) > _FEW:
            self._read_names_at = now + len(names) * _NAME_COST
        new, gone = names - self._known, self._known - names
        self._known = names
        self._add(n for n in new if any(item.serves(n) for item in self._lists))
        static = [item for item in self._lists if not item.is_dynamic]
        for name in gone:
            if not any(item.serves(name) for item in static):
                key = self._key(name)
                self._served.pop(key, None)
                self._lengths.pop(key, None)

    def _add(self, names: Iterable[str]) -> None:
        self._served.update((self._key(name), name) for name in names)

    def _key(self, name: str) -> bytes:
        return self._keys.queue(name).encode("utf-8", "surrogateescape")

    def use(self, url: str) -> None:
        """Connect to this URL from the next `open` on."""
        self._link.use(url)

    def close(self) -> None:
        """Close the connection; `open` makes a new one."""
        self._link.close()
