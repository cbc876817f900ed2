"""What the measurements need to know about a library: how its worker is started,
which module pushes its jobs, and what it takes part in.
"""

from collections.abc import Callable
from dataclasses import dataclass

# The queue that every library uses here.
QUEUE = "bench"

JOBS = "jobs"
ENQUEUE = "enqueue"
LATENCY = "latency"
IDLE = "idle"
PARTS = (JOBS, ENQUEUE, LATENCY, IDLE)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a worker is wanted."""

    python: str
    url: str
    app: str
    workers: int = 1
    # End when the queue is empty, where the library knows how to.
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
    # What the library calls the pushing of many jobs.
    bulk: str = ""
    # The jobs can also be pushed as Redis commands, past the library.
    raw: bool = False
    # Installed in the project's own environment, not in the peers'.
    in_project: bool = False
    # How many times more jobs are needed for a measurable time.
    scale: int = 1
    parts: tuple[str, ...] = PARTS
    # Why it cannot be measured here, or None.
    problem: Callable[[], str | None] = _no_problem
