"""Probes of the masters of this host: alive, and ready.

Changes nothing. A master that does not answer delays a probe by the patience for one
answer at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from resqued.diagnostics.local_masters import LocalMasters
from resqued.diagnostics.pool_view import PoolView, problem_of
from resqued.errors import ControlError, NoMasterError, StoreError

# The seconds between two probes, while `wait_for` waits.
_PAUSE = 0.1

# Returns the pools without faults, or raises an error that names a fault.
Probe = Callable[[], list[PoolView]]


class UnwellError(ControlError):
    """A master answers, but has a fault."""


def alive(meant: LocalMasters) -> list[PoolView]:
    """Return the pool of each master; raise ControlError if one does not answer.

    Raises NoMasterError if no master runs. The state of workers and Redis does not
    matter. Masters of other users count only if this user has none, or if one of them
    is named by its pid.
    """
    return meant.views()


def ready(meant: LocalMasters) -> list[PoolView]:
    """Return the pool of each master, if all workers are ready and Redis can be used.

    The state of Redis, for reads and writes, is the one that the master found within
    the last seconds. Raises what `alive` raises, StoreError if a master cannot use its
    Redis, and UnwellError for a pool with a fault.
    """
    found = alive(meant)
    for pool in found:
        if pool.redis_error:
            raise StoreError(f"master {pool.pid} cannot use Redis: {pool.redis_error}")
        if problem := problem_of(pool):
            raise UnwellError(f"master {pool.pid} {problem}")
    return found


def wait_for(probe: Probe, patience: float) -> list[PoolView]:
    """Probe until no fault is found; after `patience` seconds raise the last error."""
    last = time.monotonic() + patience
    while True:
        try:
            return probe()
        except (UnwellError, NoMasterError, StoreError):
            if time.monotonic() + _PAUSE > last:
                raise
        time.sleep(_PAUSE)
