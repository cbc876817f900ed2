"""Whether the masters of this host are well, for probes: alive, and ready.

Changes nothing. A master that does not answer costs no more than the patience for one
answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from resqued.diagnostics.local_masters import LocalMasters
from resqued.diagnostics.pool_view import PoolView, problem_of
from resqued.errors import ControlError, NoMasterError, StoreError

# Seconds before the next look, while it is waited for all to be well.
_PAUSE = 0.1

# Returns the pools that are well, or raises what is wrong.
Probe = Callable[[], list[PoolView]]


class UnwellError(ControlError):
    """A master answers, but is not as it should be."""


def alive(meant: LocalMasters) -> list[PoolView]:
    """Return the pool of each master; raise ControlError if one does not answer.

    Raises NoMasterError if there is no master. Asks nothing else: a master lives, no
    matter what its workers and Redis do. The masters of other users count only if this
    user has none, or one of them is named by its pid.
    """
    return meant.views()


def ready(meant: LocalMasters) -> list[PoolView]:
    """Return the pool of each master, if all workers are there and Redis can be used.

    It is the Redis of the master that counts, reads and writes, as the master found it
    within the last seconds. Raises what `alive` raises, StoreError if a master cannot
    use its Redis, and UnwellError for a pool that is not as it should be.
    """
    found = alive(meant)
    for pool in found:
        if pool.redis_error:
            raise StoreError(f"master {pool.pid} cannot use Redis: {pool.redis_error}")
        if problem := problem_of(pool):
            raise UnwellError(f"master {pool.pid} {problem}")
    return found


def wait_for(probe: Probe, patience: float) -> list[PoolView]:
    """Probe until nothing is wrong; after `patience` seconds raise the last error."""
    last = time.monotonic() + patience
    while True:
        try:
            return probe()
        except (UnwellError, NoMasterError, StoreError):
            if time.monotonic() + _PAUSE > last:
                raise
        time.sleep(_PAUSE)
