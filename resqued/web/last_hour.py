"""The last hour of the history as pages show it: lines, rates and trends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from resqued.core.history_layout import TOTAL, queue_scope
from resqued.core.rates import QueueTrend, queue_trend, recent_rate
from resqued.store.history import History

# Rates and trends are those of so many minutes; the present one is not over.
RECENT = slice(-16, -1)
_TOTALS = ("wait", "busy", "workers", "failures", "done", "failed")

Values = Sequence[int | None]


class TotalHour(Struct, frozen=True):
    """The last hour of a namespace, a value for each minute, by the name of a series.

    `is_kept` is whether the history has anything of it.
    """

    series: Mapping[str, Values]

    @property
    def is_kept(self) -> bool:
        """Whether masters have made readings, or workers have counted runs."""
        readings = any(one is not None for one in self.series["wait"])
        return readings or any(self.series["done"])

    def rate(self, name: str) -> float | None:
        """Return how many runs are `done`, or `failed`, per minute; None if unknown."""
        return recent_rate(self.series[name][RECENT], self.series["wait"][RECENT])

    def trend(self, waiting: int) -> QueueTrend:
        """Return the trend of all queues, in which `waiting` jobs wait now."""
        return _trend(waiting, self.series["wait"], self.series["done"])


class QueueHour(Struct, frozen=True):
    """The last hour of a queue: how many jobs waited and ended, for each minute."""

    waits: Values = ()
    done: Values = ()

    @property
    def is_known(self) -> bool:
        """Whether there is a reading of the queue."""
        return any(one is not None for one in self.waits)

    @property
    def rate(self) -> float | None:
        """How many of its jobs end per minute; None if that is not known."""
        return recent_rate(self.done[RECENT], self.waits[RECENT])

    def trend(self, waiting: int) -> QueueTrend:
        """Return the trend of the queue, in which `waiting` jobs wait now."""
        return _trend(waiting, self.waits, self.done)


UNKNOWN_HOUR = QueueHour()


def _trend(waiting: int, waits: Values, done: Values) -> QueueTrend:
    return queue_trend(waiting, waits[RECENT], done[RECENT])


def read_hour(history: History) -> TotalHour:
    """Return the last hour of a namespace; raise StoreError."""
    found = history.together([(TOTAL, name) for name in _TOTALS])
    series = zip(_TOTALS, (each.values for each in found), strict=True)
    return TotalHour(
        {n: _whole(v) if n in ("done", "failed") else v for n, v in series}
    )


def read_queue_hours(
    history: History, names: tuple[str, ...]
) -> Mapping[str, QueueHour]:
    """Return the last hour of some queues by their names; raise StoreError."""
    scopes = [queue_scope(name) for name in names]
    wanted = [(scope, value) for value in ("wait", "done") for scope in scopes]
    found = [each.values for each in history.together(wanted)]
    rows = zip(names, found[: len(names)], found[len(names) :], strict=True)
    return {name: QueueHour(waits, _whole(done)) for name, waits, done in rows}


def _whole(counts: tuple[int | None, ...]) -> Values:
    """Return counts without the present minute, of which more will be counted."""
    return (*counts[:-1], None)


def key_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return the key of some queues, whatever their order on the page."""
    return tuple(sorted(names))
