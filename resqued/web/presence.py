"""Which parts of a namespace are in use: the tabs of the others are not shown."""

from __future__ import annotations

from msgspec import Struct

from resqued.store.connection import Link
from resqued.wire.keys import Keys


class Presence(Struct, frozen=True):
    """What there is: `delayed_times` are times at which jobs are due, not jobs.

    `schedules` counts those of masters and those of resque-scheduler.
    """

    delayed_times: int = 0
    schedules: int = 0
    quarantined: int = 0
    masters: int = 0


def read_presence(link: Link, keys: Keys) -> Presence:
    """Return what there is, in one round trip; raise StoreError if Redis fails.

    What access rules hide is not there.
    """
    found = link.read_each(
        [
            ("ZCARD", keys.delayed_schedule),
            ("HLEN", keys.schedules),
            ("HLEN", keys.persistent_schedules),
            ("LLEN", keys.quarantine),
            ("SCARD", keys.masters),
        ],
        allows_refusals=True,
    )
    times, own, dynamic, quarantined, masters = (int(number or 0) for number in found)
    return Presence(times, own + dynamic, quarantined, masters)
