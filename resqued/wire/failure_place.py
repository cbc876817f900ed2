"""Where failure entries go: to one list or to a list per queue, and to other services.

Worker and master put the address in front of an entry; the scripts that record a run
read it (store/lua/push_failure.lua).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from resqued.wire.keys import FAILED

REDIS = "redis"
REDIS_MULTI_QUEUE = "redis_multi_queue"
# All back ends that have names.
BACKENDS = (REDIS, REDIS_MULTI_QUEUE, "sentry", "airbrake", "webhook", "log")


class FailurePlace(Struct, frozen=True):
    """Where the failures of a configuration go.

    `is_per_queue`: to the list `<queue>_failed`, not to `failed`. `outboxes` are the
    names of the back ends that get each failure as well, from their outboxes.
    """

    is_per_queue: bool = False
    outboxes: tuple[str, ...] = ()

    @classmethod
    def of(cls, backends: Iterable[str]) -> FailurePlace:
        """Return the place that the names of back ends mean; without any, `failed`."""
        names = tuple(dict.fromkeys(backends))
        others = tuple(n for n in names if n not in (REDIS, REDIS_MULTI_QUEUE))
        return cls(REDIS_MULTI_QUEUE in names, others)

    def addressed(self, entry: bytes, queue: str) -> bytes:
        """Return a failure entry with its address, which is none for `failed` alone."""
        if not self.is_per_queue and not self.outboxes:
            return entry
        names = (list_name(queue) if self.is_per_queue else FAILED, *self.outboxes)
        raw = [name.encode("utf-8", "surrogateescape") for name in names]
        return b"".join(b"%d:%b" % (len(name), name) for name in raw) + entry


IN_FAILED = FailurePlace()


def list_name(queue: str) -> str:
    """Return the name of the list that has the failures of one queue."""
    return f"{queue}_failed"
