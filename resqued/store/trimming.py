"""Removal of the oldest failures of a list, by number or by age, in small steps."""

from __future__ import annotations

from resqued.store.connection import Link
from resqued.store.failure_entry import Failure
from resqued.store.failures import Failures
from resqued.store.script import Script
from resqued.wire.keys import Keys, prefix_of

TRIM = Script("trim_failures")

# How many entries one step removes, or reads to learn their age.
STEP = 500
_READ = 100


class Trimming:
    """Trims the lists of one namespace; methods raise StoreError if Redis fails."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        self._failures = Failures(link, keys)

    def lists(self) -> list[str]:
        """Return the names of the lists."""
        return self._failures.lists()

    def by_number(self, name: str, most: int) -> int:
        """Remove up to 500 of the entries above `most`; return how many."""
        return self._trim(name, (str(most), str(STEP), "", ""))

    def by_age(self, name: str, before: float) -> int:
        """Remove up to 100 entries that failed before a time; return how many.

        `before` is in seconds since the epoch. An entry whose time cannot be read goes
        with the next one behind it.
        """
        key = f"{prefix_of(self._keys)}{name}"
        old = -1
        for index, entry in enumerate(self._link.call("LRANGE", key, 0, _READ - 1)):
            at = Failure(entry).failed_at
            if at is None:
                continue
            if at.timestamp() >= before:
                break
            old, last = index, entry
        return self._trim(name, ("", str(STEP), last, str(old))) if old >= 0 else 0

    def _trim(self, name: str, args: tuple[str | bytes, ...]) -> int:
        key = f"{prefix_of(self._keys)}{name}"
        return int(TRIM(self._link, (key, self._keys.bulk), (name, *args)))
