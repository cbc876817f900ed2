"""The table of workers: what Redis knows of each, and what a master here knows too.

`status`, `workers` and `top` use the same words for what a worker does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from resqued.cli.masters import show_limits
from resqued.cli.table import Column
from resqued.cli.text import call, duration
from resqued.core.plural import pluralize
from resqued.diagnostics.pool_view import PoolWorker, limits_of
from resqued.diagnostics.worker_status import WorkerStatus

STATES = {
    "working": "green",
    "idle": "dim",
    "starting": "yellow",
    "settling": "yellow",
    "stopping": "yellow",
    "dead": "red",
    "silent": "yellow",
    "unknown": "yellow",
}
# Of workers of pools with namespaces of their own.
NAMESPACE = Column("NAMESPACE", rank=4, tells_apart=True)
COLUMNS = (
    Column("WORKER", rank=0),
    Column("STATE", styles=STATES),
    Column("FOR", rank=3, is_number=True),
    Column("QUEUE", rank=4, least=8),
    Column("JOB", rank=2, least=16, keeps_end=True),
    Column("PROCESSED", rank=5, is_number=True),
    Column("FAILED", rank=6, is_number=True),
    Column("HEARTBEAT", rank=8, is_number=True),
)
# Of workers whose master runs here.
LOCAL_COLUMNS = (
    *COLUMNS[:3],
    NAMESPACE,
    *COLUMNS[3:5],
    Column("LIMITS", rank=7),
    *COLUMNS[5:],
    Column("GEN", rank=9, is_number=True),
)
# The word for each phase of a worker that has another one in tables.
_WORDS = {"waiting": "idle", "reserving": "idle", "running": "working"}
# What needs a look comes first.
_ORDER = ("dead", "silent", "unknown", "starting", "stopping", "settling", "working")
# More workers than a glance takes in.
_MOST_SHOWN = 10


class WorkerRow(Struct, frozen=True):
    """A worker, as Redis and its master know it; one of them may not know it.

    `namespace` is "" if it is not known.
    """

    registered: WorkerStatus | None
    local: PoolWorker | None
    namespace: str = ""

    @property
    def state(self) -> str:
        """What it does; or what is wrong with its signs of life."""
        status = self.registered
        if self.local is None or (status and status.state not in ("idle", "working")):
            return status.state if status else ""
        return state_of(self.local)

    @property
    def age(self) -> float | None:
        """For how many seconds it has done so, as far as that is known."""
        if self.local is not None:
            return self.local.since
        return self.registered.job_age if self.registered else None

    def cells(self) -> tuple[object, ...]:
        """Return it as a row of LOCAL_COLUMNS."""
        local, status = self.local, self.registered
        worker = status.worker if status else None
        counts = (worker.processed, worker.failed) if worker else ("", "")
        if local is not None:
            counts = (local.done, local.failed)
        return (
            (worker.id if worker else local.id if local else "") or "-",
            self.state,
            "" if self.age is None else duration(self.age),
            self.namespace,
            *self._job(),
            show_limits(limits_of(local)) if local else "",
            *counts,
            duration(status.heartbeat_age) if status else "",
            local.generation if local else "",
        )

    def _job(self) -> tuple[str, str]:
        job = self.registered.worker.job if self.registered else None
        if self.local is None or (job and self.local.job):
            return (job.queue, call(job.class_name, job.args)) if job else ("", "")
        own = self.local.job
        return (own.queue, own.class_name) if own else ("", "")


def state_of(worker: PoolWorker) -> str:
    """Return what a worker does, and whether it leaves when that is done."""
    state = _WORDS.get(worker.phase, worker.phase)
    return f"{state}, quits" if worker.quits else state


def join_workers(
    local: Sequence[PoolWorker],
    registered: Sequence[WorkerStatus],
    namespace: str = "",
) -> list[WorkerRow]:
    """Return each worker once: what needs a look first, then the oldest jobs.

    `namespace` is the one that `registered` were read from.
    """
    by_id = {status.worker.id: status for status in registered}
    rows = []
    for worker in local:
        is_there = worker.namespace in ("", namespace)
        status = by_id.pop(worker.id, None) if is_there else None
        rows.append(WorkerRow(status, worker, worker.namespace or namespace))
    rows += [WorkerRow(status, None, namespace) for status in by_id.values()]
    return sorted(rows, key=_urgency)


def _urgency(row: WorkerRow) -> tuple[int, float]:
    state = row.state.partition(",")[0]
    place = _ORDER.index(state) if state in _ORDER else len(_ORDER)
    return place, -(row.age or 0.0) if state == "working" else 0.0


def abridge(rows: Sequence[WorkerRow]) -> tuple[Sequence[WorkerRow], str]:
    """Return the rows that are worth a look, and the line that counts them all.

    A few workers are all shown, and the line is empty.
    """
    if len(rows) <= _MOST_SHOWN:
        return rows, ""
    counts = Counter(row.state.partition(",")[0] for row in rows)
    each = ", ".join(f"{count} {state}" for state, count in counts.items())
    line = f"{pluralize(len(rows), 'worker')}: {each}; `resqued workers` lists all"
    return [row for row in rows if row.state != "idle"][:_MOST_SHOWN], line


def as_row(status: WorkerStatus) -> tuple[object, ...]:
    """Return a worker of any host as a row of COLUMNS."""
    cells = WorkerRow(status, None).cells()
    return tuple(
        cell
        for column, cell in zip(LOCAL_COLUMNS, cells, strict=True)
        if column in COLUMNS
    )
