"""Lines of charts as points of SVG: pure, with attributes alone, so that CSP holds."""

from __future__ import annotations

from collections.abc import Sequence

# Room for the width of the line at the edges.
_MARGIN = 1.0


def top_of(*series: Sequence[float | None]) -> float:
    """Return the largest value of all series; 1 if there is none above 0."""
    known = [value for values in series for value in values if value is not None]
    return max([value for value in known if value > 0], default=1.0)


def lines(
    values: Sequence[float | None],
    width: float = 112,
    height: float = 26,
    top: float | None = None,
) -> list[str]:
    """Return the points of each line of a series; a None ends a line.

    Zero is at the bottom, `top` at the top: the largest value, if it is None. A value
    between two that are not known is a short line, because a point cannot be seen.
    """
    top = top or top_of(values)
    step = (width - 2 * _MARGIN) / max(1, len(values) - 1)
    found: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            found.append([])
            continue
        share = min(1.0, max(0.0, value / top))
        x = _MARGIN + place * step
        y = height - _MARGIN - share * (height - 2 * _MARGIN)
        found[-1].append(f"{x:.1f},{y:.1f}")
    return [
        " ".join(line if len(line) > 1 else _dash(line[0])) for line in found if line
    ]


def _dash(point: str) -> list[str]:
    x, _, y = point.partition(",")
    return [point, f"{float(x) + 1:.1f},{y}"]
