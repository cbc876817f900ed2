"""Up to where a person has seen a list of failures: what fails later is not touched.

The place is known by the newest entries that were seen, not by an index alone: while a
person reads, others remove entries, and every later one moves down.
"""

from __future__ import annotations

import hashlib
import re

from msgspec import Struct

from resqued.errors import ResquedError
from resqued.store.connection import Link

# How many of the newest entries mark the place: it is known while one is there.
ANCHORS = 5
_DIGITS = 16
# How many entries are read at a time to find the place.
_PAGE = 200
# How far removals have moved it, most likely.
_NEAR = 1_000
_RETRIED = re.compile(rb',\s*"retried_at"\s*:\s*"[^"]*"')
_PLACE = re.compile(rf"([0-9a-f]{{{_DIGITS}}})[0-9a-f]{{0,48}}@(\d{{1,10}})")
_TEXT = re.compile(rf"\d{{1,10}}(\.[0-9a-f]{{{_DIGITS}}}){{0,{ANCHORS}}}")


class SeenNothingError(ResquedError):
    """None of the entries that mark the place is in the list any more."""


def digest_of(entry: bytes) -> str:
    """Return a digest of an entry that a retry does not change."""
    if b'"retried_at"' in entry:
        entry = _RETRIED.sub(b"", entry)
    return _digest(entry)


def _digest(entry: bytes) -> str:
    return hashlib.sha256(entry).hexdigest()[:_DIGITS]


class SeenBound(Struct, frozen=True):
    """The end of what was seen: `count` entries, the newest ones with these digests.

    `anchors` has the newest entry first; it is empty only if the list was.
    """

    count: int
    anchors: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((str(self.count), *self.anchors))

    @classmethod
    def of(cls, text: str) -> SeenBound:
        """Return the bound that a form sends; raise ResquedError if it is none.

        It may also be the place of the newest failure, <digest>@<position>.
        """
        if place := _PLACE.fullmatch(text):
            return cls(int(place[2]) + 1, (place[1],))
        if not _TEXT.fullmatch(text):
            raise ResquedError(f"{text[:40]!r} is no place in the list of failures")
        count, *anchors = text.split(".")
        return cls(int(count), tuple(anchors))

    @classmethod
    def now(cls, link: Link, key: str) -> SeenBound:
        """Return the present end of a list; raise StoreError."""
        count, newest = link.pipeline(
            [("LLEN", key), ("LRANGE", key, -ANCHORS, -1)],
        )
        return cls(int(count), tuple(digest_of(entry) for entry in reversed(newest)))

    def end(self, link: Link, key: str, near: int | None) -> tuple[int, bytes]:
        """Return how many entries of the list were seen, and the newest of them.

        `near` is how many there were a moment ago, in a list of which the oldest were
        taken since. Raises SeenNothingError if no anchor is left in the list.
        """
        if not self.anchors:
            return 0, b""
        length = int(link.call("LLEN", key))
        likely = min(self.count if near is None else near, length)
        # Removals move it down. It is further up if a bulk operation had the oldest
        # entries in hand when the list was seen.
        unlikely = max(0, likely - _NEAR)
        for end, start in ((likely, unlikely), (length, likely), (unlikely, 0)):
            found = self._last_anchor(link, key, start, end)
            if found is not None:
                return found
        raise SeenNothingError(
            "the newest failures that you saw are gone, so that it is not known which"
            " ones came later; look at the list again"
        )

    def _last_anchor(
        self, link: Link, key: str, start: int, end: int
    ) -> tuple[int, bytes] | None:
        """Return the place behind the last anchor from `start` to below `end`."""
        while end > start:
            first = max(start, end - _PAGE)
            page = link.call("LRANGE", key, first, end - 1)
            for at in reversed(range(len(page))):
                if self._is_anchor(page[at]):
                    return first + at + 1, page[at]
            end = first
        return None

    def _is_anchor(self, entry: bytes) -> bool:
        """Return True for an anchor, as it was seen or retried since."""
        if digest_of(entry) in self.anchors:
            return True
        return b'"retried_at"' in entry and _digest(entry) in self.anchors
