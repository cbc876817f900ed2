"""The last hour of the history for a page, read when its template asks for it.

So a part of a page that shows none of it reads nothing; and while Redis is away, pages
have what was read last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from resqued.web.last_hour import UNKNOWN_HOUR, QueueHour, TotalHour, key_of
from resqued.web.site import site


def total_hour() -> TotalHour | None:
    """Return the last hour of the namespace; None if it cannot be read."""
    return site().facts.hour.value_or(None)


class QueueHours:
    """The last hour of the queues of a page."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = key_of(names)
        self._found: Mapping[str, QueueHour] | None = None

    def of(self, name: str) -> QueueHour:
        """Return the last hour of a queue; one that says nothing if none is known."""
        if self._found is None:
            hours = site().facts.queue_hours.of(self._names)
            self._found = hours.value_or({}) if self._names else {}
        return self._found.get(name, UNKNOWN_HOUR)
