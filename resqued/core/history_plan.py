"""Which names of a day keep series of their own when its minutes become hours."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from resqued.core.history_layout import MOST_NAMES, REST


class RollupPlan(Struct, frozen=True):
    """The scopes of a day that keep their own series, and those that become `*`."""

    kept: tuple[str, ...]
    folded: tuple[str, ...]


def plan_rollup(day: Collection[str], month: Collection[str]) -> RollupPlan:
    """Return the plan for the scopes of a day, and those that the month has already.

    The month keeps at most 200 classes and 200 queues. If the month has been given what
    was kept, the plan is the same: a master that dies is followed by one that repeats
    its work.
    """
    kept: list[str] = []
    folded: list[str] = []
    for kind in ("c", "q"):
        names = sorted(_named(day, kind))
        taken = set(_named(month, kind))
        room = MOST_NAMES - len(taken)
        new = [name for name in names if name not in taken]
        kept += [name for name in names if name in taken] + new[: max(0, room)]
        folded += new[max(0, room) :]
    return RollupPlan(tuple(kept), tuple(folded))


def _named(scopes: Collection[str], kind: str) -> list[str]:
    """Return the scopes of classes or of queues, without the one for the rest."""
    return [one for one in scopes if one[:2] == f"{kind}:" and one[2:] != REST]
