"""Charts of the history: all jobs, a class or a queue, over an hour to 90 days."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Response, abort, request

from resqued.core.histogram import BOUNDS, quantile
from resqued.store.history import RANGES
from resqued.web.chart_data import ChartScope
from resqued.web.render import page
from resqued.web.site import site

_DEFAULT = "24h"
# The history has a number for each minute: no need to ask often, in milliseconds.
_INTERVAL = 10_000
_LONG = {"1h": "1 hour", "6h": "6 hours", "24h": "24 hours", "3d": "3 days"}
_TITLES = {**_LONG, "30d": "30 days", "90d": "90 days"}


def show() -> Response:
    """Show the charts of a range; the page says how to switch the history on."""
    span = request.args.get("span", _DEFAULT)
    if span not in RANGES:
        abort(404, f"there is no range {span[:20]!r}: {', '.join(RANGES)}")
    scope = _scope()
    read = site().facts.charts.of((scope, span)).value()
    choices = [ChartScope()]
    choices += [ChartScope("q", name) for name in read.names.queues]
    choices += [ChartScope("c", name) for name in read.names.classes]
    if scope not in choices:
        choices.append(scope)
    return page(
        "charts.html",
        interval=_INTERVAL,
        charts=read.charts,
        is_empty=all(chart.is_empty for chart in read.charts),
        is_off=not read.names.classes and not read.names.queues,
        buckets=_buckets(read.histogram),
        quantiles=_quantiles(read.histogram),
        scope=scope,
        choices=choices,
        span=span,
        spans=_TITLES,
    )


def _scope() -> ChartScope:
    """Return what the URL names: `of` with a token, or a queue or class in words."""
    for kind, name in (("q", "queue"), ("c", "class")):
        if name in request.args:
            return ChartScope(kind, request.args[name][:500])
    try:
        return ChartScope.read(request.args.get("of", "")[:1_000])
    except ValueError:
        abort(404, "the URL names no class or queue: choose one in the list")


def _buckets(histogram: Sequence[int]) -> list[tuple[str, int]]:
    """Return the labels of buckets with their runs, without the empty ends."""
    labels = [f"up to {_bound(bound)}" for bound in BOUNDS] + ["longer"]
    pairs = list(zip(labels, histogram, strict=False))
    used = [place for place, (_, number) in enumerate(pairs) if number]
    return pairs[used[0] : used[-1] + 1] if used else []


def _quantiles(histogram: Sequence[int]) -> dict[str, str]:
    found = {"Half": 0.5, "90 %": 0.9, "99 %": 0.99}
    bounds = {name: quantile(histogram, share) for name, share in found.items()}
    return {name: _bound(one) for name, one in bounds.items() if one is not None}


def _bound(milliseconds: float) -> str:
    if milliseconds == float("inf"):
        return "more than 1 h"
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1_000
    for size, unit in ((3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
