"""What a master reads once a minute for the history: queues, workers, failures, memory.

A step for each page of a round trip, so that the loop of the master never waits for
thousands of queues. Each method raises StoreError if Redis fails.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from resqued.store.failures import Failures
from resqued.store.job_queues import Queues
from resqued.store.registry import Registry
from resqued.store.store_errors import NotPrimaryError, RefusedError

# Queues or workers of one round trip.
_PAGE = 500
_KIB = 1024

# Readings of the namespace by the name of their series, and the length of each queue.
Readings = tuple[dict[str, int], dict[str, int]]


def read_now(registry: Registry) -> Generator[None, None, Readings]:
    """Return the readings of this moment."""
    waiting = yield from _lengths(registry)
    ids = sorted(registry.ids())
    busy = 0
    for page in _pages(ids):
        yield
        names = [registry.keys.worker(worker_id) for worker_id in page]
        busy += int(registry.link.call("EXISTS", *names))
    yield
    readings = {
        "wait": sum(waiting.values()),
        "busy": busy,
        "workers": len(ids),
        "failures": Failures(registry.link, registry.keys).count(),
    }
    used = _memory(registry)
    return readings | ({} if used is None else {"redis": used // _KIB}), waiting


def _lengths(registry: Registry) -> Generator[None, None, dict[str, int]]:
    waiting: dict[str, int] = {}
    names = Queues(registry.link, registry.keys).names()
    for page in _pages(names):
        yield
        found = registry.link.read_each(
            [("LLEN", registry.keys.queue(name)) for name in page]
        )
        waiting |= {name: n or 0 for name, n in zip(page, found, strict=True)}
    return waiting


def _memory(registry: Registry) -> int | None:
    """Return the bytes that the server uses; None if it does not tell."""
    try:
        text = registry.link.call("INFO", "memory")
    except NotPrimaryError:
        raise
    except RefusedError:
        return None
    for line in text.decode("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name == "used_memory" and value.strip().isdecimal():
            return int(value)
    return None


def _pages(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[at : at + _PAGE] for at in range(0, len(names), _PAGE)]
