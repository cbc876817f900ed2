"""What the measurements need to know about a library: the command line of its worker,
the module that pushes its jobs, and the measurements that it takes part in.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

# The queue that every library uses.
QUEUE = "bench"

JOBS = "jobs"
ENQUEUE = "enqueue"
LATENCY = "latency"
IDLE = "idle"
# How many workers there are where several are measured.
CREWS = (2, 8)
PARTS = (JOBS, ENQUEUE, LATENCY, IDLE)


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start workers: interpreter, Redis, application and number."""

    python: str
    url: str
    app: str
    workers: int = 1
    # End when the queue is empty, if the library can.
    burst: bool = False


def _no_problem() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Peer:
    """One library, or one way of running its workers."""

    key: str
    title: str
    # The command line of `launch.workers` workers.
    command: Callable[[Launch], list[str]]
    # The module below bench/jobs that pushes this library's jobs.
    producer: str
    # The module that the worker imports.
    app: str
    # How jobs are run, for the table.
    isolation: str
    # The library's name for pushing many jobs.
    bulk: str = ""
    # Jobs can be pushed by Redis commands too, without the library.
    raw: bool = False
    # Installed in the project's own environment, not in the peers'.
    in_project: bool = False
    # How many times more jobs are needed for a measurable time.
    scale: int = 1
    parts: tuple[str, ...] = PARTS
    # How many workers there are; libraries have one unless their title says so.
    workers: int = 1
    # The key of the peer to which the ratios of the costs per job refer.
    base: str = "bare"
    # Why it cannot be measured here, or None.
    problem: Callable[[], str | None] = _no_problem


def crews(peer: Peer) -> tuple[Peer, ...]:
    """Return the peer with each of CREWS, for the jobs and for the latency."""
    return tuple(
        replace(
            peer,
            key=f"{peer.key}-{workers}",
            title=f"{peer.title}, {workers} workers",
            workers=workers,
            # So that the start of the last worker is a small part of the time.
            scale=2 * peer.scale,
            parts=tuple(part for part in peer.parts if part in (JOBS, LATENCY)),
        )
        for workers in CREWS
    )
