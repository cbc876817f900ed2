"""What is true of a master, as its records in Redis show it."""

from __future__ import annotations

import time
from collections import Counter
from typing import Protocol

from resqued.core.lifecycle import State
from resqued.master.pool import Pool
from resqued.master.record_publisher import MasterFacts
from resqued.system import process
from resqued.wire.master_record import RecordedReload


class RunningMaster(Protocol):
    """The parts of a master that its record is made from."""

    pool: Pool
    state: State
    began: float


def master_facts(master: RunningMaster, now: float) -> MasterFacts | None:
    """Return what is true of a master; None before its pool is ready."""
    pool, generations = master.pool, master.pool.generations
    if not pool.was_ready:
        return None
    config = generations.incumbent.config
    return MasterFacts(
        host=process.host_in_ids(config.app.hostname),
        since=time.time() - (now - master.began),
        state=master.state.value,
        is_paused=pool.is_paused,
        generation=generations.current.number,
        last_reload=_last_reload(pool),
        wanted=dict(pool.wanted.counts),
        limits={each.key: each.limits for each in config.pools},
        live=Counter(slot.pool for slot in pool.slots if slot.is_ready()),
        incumbent=generations.incumbent.number,
        jobs=generations.incumbent.jobs,
    )


def _last_reload(pool: Pool) -> RecordedReload | None:
    outcomes = pool.generations.outcomes
    if outcomes.newest is None:
        return None
    error = outcomes.newest.error
    outcome = "failed" if error else "done"
    return RecordedReload(at=round(outcomes.newest_at, 3), outcome=outcome, error=error)
