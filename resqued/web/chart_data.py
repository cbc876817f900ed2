"""What the page of charts shows: series of the history, of one scope and range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from resqued.store.history import History, HistoryNames, Points
from resqued.web.coded_names import encoded_name, read_name
from resqued.web.sparkline import lines, top_of

Unit = Literal["jobs", "seconds", "bytes", "workers"]
_WIDTH, _HEIGHT = 720, 140


class ChartSeries(Struct, frozen=True):
    """A line of a chart; its values have the places of the times of the chart."""

    name: str
    values: Sequence[float | None]
    is_bad: bool = False


class Chart(Struct, frozen=True):
    """A chart: lines over the same times, which are `step` seconds apart.

    With `is_count`, more will be counted in the last step, which is not over: lines end
    before it.
    """

    title: str
    unit: Unit
    start: int
    step: int
    series: Sequence[ChartSeries]
    is_count: bool = False

    @property
    def rows(self) -> list[tuple[int, list[float | None]]]:
        """The time of each step with the values of all series, the newest first."""
        columns = zip(*(one.values for one in self.series), strict=True)
        found = [
            (self.start + number * self.step, list(values))
            for number, values in enumerate(columns)
        ]
        return found[::-1]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known, or all values are 0."""
        return not any(value for one in self.series for value in one.values)

    @property
    def pictures(self) -> list[tuple[str, bool, list[str]]]:
        """Name, whether it is bad, and points of each line, on one scale."""
        drawn = [self._whole(one.values) for one in self.series]
        top = top_of(*drawn)
        return [
            (one.name, one.is_bad, lines(values, _WIDTH, _HEIGHT, top))
            for one, values in zip(self.series, drawn, strict=True)
        ]

    def _whole(self, values: Sequence[float | None]) -> Sequence[float | None]:
        return (*values[:-1], None) if self.is_count else values


class ChartScope(Struct, frozen=True):
    """What charts are about: all, a class or a queue; `kind` is t, c or q."""

    kind: str = "t"
    name: str = ""

    @property
    def token(self) -> str:
        """The scope as URLs carry it, with the base64 of the name."""
        return f"{self.kind}:{encoded_name(self.name)}"

    @classmethod
    def read(cls, token: str) -> ChartScope:
        """Return the scope of a token; raise ValueError."""
        kind, _, text = token.partition(":")
        if kind not in ("c", "q"):
            return cls()
        return cls(kind, read_name(text))


class ChartsRead(Struct, frozen=True):
    """The charts of a scope and a range.

    `names` are the classes and queues that have series; `histogram` is that of a class.
    """

    charts: Sequence[Chart]
    names: HistoryNames
    histogram: Sequence[int]


def read_all(history: History, wanted: tuple[ChartScope, str]) -> ChartsRead:
    """Return what the page shows of a scope and a range; raise StoreError."""
    scope, span = wanted
    histogram = history.durations(scope.name, span) if scope.kind == "c" else ()
    return ChartsRead(read_charts(history, scope, span), history.names(span), histogram)


def read_charts(history: History, scope: ChartScope, span: str) -> list[Chart]:
    """Return the charts of a scope in a range; raise StoreError, ArgumentError."""
    if scope.kind == "c":
        return _of_class(history, scope.name, span)
    if scope.kind == "q":
        done = history.of_queue(scope.name, "done", span)
        wait = history.of_queue(scope.name, "wait", span)
        return [_chart("Waiting", wait), _chart("Ended", done, is_count=True)]
    return _of_all(history, span)


def _of_all(history: History, span: str) -> list[Chart]:
    read = {
        value: history.total(value, span)
        for value in ("done", "failed", "ms", "wait", "busy", "workers", "failures")
    }
    memory = history.total("redis", span)
    kib = [None if v is None else v * 1024.0 for v in memory.values]
    return [
        _runs(read["done"], read["failed"]),
        _chart("Waiting", read["wait"]),
        Chart(
            "Workers",
            "workers",
            read["busy"].start,
            read["busy"].step,
            (
                ChartSeries("registered", read["workers"].values),
                ChartSeries("running a job", read["busy"].values),
            ),
        ),
        _mean(read["done"], read["ms"]),
        _chart("Failures kept", read["failures"], is_bad=True),
        Chart(
            "Memory of Redis",
            "bytes",
            memory.start,
            memory.step,
            (ChartSeries("used", kib),),
        ),
    ]


def _of_class(history: History, name: str, span: str) -> list[Chart]:
    done, failed, spent = (
        history.of_class(name, value, span) for value in ("done", "failed", "ms")
    )
    return [_runs(done, failed), _mean(done, spent)]


def _runs(done: Points, failed: Points) -> Chart:
    series = (
        ChartSeries("ended", done.values),
        ChartSeries("of them failed", failed.values, is_bad=True),
    )
    return Chart("Runs", "jobs", done.start, done.step, series, is_count=True)


def _mean(done: Points, spent: Points) -> Chart:
    means = [
        milliseconds / runs / 1000 if runs and milliseconds is not None else None
        for runs, milliseconds in zip(done.values, spent.values, strict=True)
    ]
    series = (ChartSeries("mean", means),)
    return Chart("Time of a run", "seconds", done.start, done.step, series)


def _chart(
    title: str, points: Points, *, is_bad: bool = False, is_count: bool = False
) -> Chart:
    series = (ChartSeries(title.lower(), points.values, is_bad),)
    return Chart(title, "jobs", points.start, points.step, series, is_count)
