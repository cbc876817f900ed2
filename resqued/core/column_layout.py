"""Which columns of a table fit on a terminal, and how wide each one is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

# Blank cells between two columns.
GAP = 2


class ColumnNeed(Struct, frozen=True):
    """What one column needs. Widths are in cells of a terminal.

    `widest` is the width of its widest cell or of its title, `least` the width below
    which it is not cut. A column of rank 0 is always shown. Of the others that of the
    highest rank is left out first.
    """

    widest: int
    least: int
    rank: int = 0


def fit_columns(needs: Sequence[ColumnNeed], room: int) -> dict[int, int]:
    """Return the width of each column that is shown, by its index, in order.

    Columns are left out until the least widths fit into `room`, and what is left over
    goes to the narrowest of those that are cut. If the columns of rank 0 alone do not
    fit, the widest of them become narrower.
    """
    shown = list(range(len(needs)))
    while _total(needs[i].least for i in shown) > room:
        optional = [i for i in shown if needs[i].rank]
        if not optional:
            break
        shown.remove(max(optional, key=lambda i: (needs[i].rank, i)))
    widths = {i: needs[i].least for i in shown}
    left = room - _total(widths.values())
    while left > 0 and (cut := [i for i in shown if widths[i] < needs[i].widest]):
        widths[min(cut, key=widths.__getitem__)] += 1
        left -= 1
    while left < 0 and (wide := [i for i in shown if widths[i] > 1]):
        widths[max(wide, key=widths.__getitem__)] -= 1
        left += 1
    return widths


def _total(widths: Iterable[int]) -> int:
    """Return the width of a line of such columns, with the gaps between them."""
    each = list(widths)
    return sum(each) + GAP * max(0, len(each) - 1)
