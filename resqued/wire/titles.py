"""What `ps` shows of each process.

A Ruby worker that starts on the same host unregisters every worker whose `ps`
line lacks `resque-` and a digit (wire format 3.4), so the titles of workers and
children are part of the wire format.
"""

from __future__ import annotations

from resqued.core.version import VERSION

_PREFIX = f"resque-{VERSION}"


def master(
    *, generation: int, workers: int, wanted: int, busy: int, older: int = 0
) -> str:
    """The master: its generation, how many workers live, how many are busy.

    `older` are the workers of earlier generations that finish a job.
    """
    text = f"resqued master [gen {generation}] {workers}/{wanted} workers, {busy} busy"
    return f"{text}, {older} of an older gen" if older else text


def zygote(*, generation: int, modules: tuple[str, ...]) -> str:
    """The zygote: its generation and the application that it loaded."""
    return f"resqued zygote [gen {generation}] {' '.join(modules)}".rstrip()


def starting() -> str:
    """A worker that is not registered yet."""
    return f"{_PREFIX}: Starting"


def waiting(queues: tuple[str, ...]) -> str:
    """An idle worker, with the queues as its list expands now."""
    return f"{_PREFIX}: Waiting for {','.join(queues)}"


def paused() -> str:
    """A worker that takes no jobs."""
    return f"{_PREFIX}: Paused"


def forked(pid: int, now: float) -> str:
    """A worker whose child runs a job."""
    return f"{_PREFIX}: Forked {pid} at {int(now)}"


def quitting(pid: int, generation: int) -> str:
    """A worker that was told to quit, and waits for its child's job."""
    return f"{_PREFIX}: Quitting after {pid} [gen {generation}]"


def processing(queue: str, class_name: str, now: float) -> str:
    """A child that runs a job."""
    return f"{_PREFIX}: Processing {queue} since {int(now)} [{class_name}]"


# A child that was forked ahead and waits for its job.
STANDBY = f"{_PREFIX}: Standby"
