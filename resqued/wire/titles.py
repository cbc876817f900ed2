"""The titles of the processes in `ps`.

A Ruby worker that starts on the same host unregisters every worker whose `ps` line
lacks `resque-` and a digit (wire format 3.4), so the titles of workers and children
are part of the wire format. All functions return the title; times are seconds since
the epoch.
"""

from __future__ import annotations

from resqued.core.version import VERSION

_PREFIX = f"resque-{VERSION}"


def master(  # noqa: PLR0913 - the parts of one line
    *,
    generation: int,
    workers: int,
    wanted: int,
    busy: int,
    older: int = 0,
    problem: str = "",
) -> str:
    """Title of a master: its generation, and how many workers run and are busy.

    `wanted` is the configured number of workers; `older` is the number of workers of
    earlier generations; `problem` says what is wrong with Redis.
    """
    text = f"resqued master [gen {generation}] {workers}/{wanted} workers, {busy} busy"
    text += f", {older} of an older gen" if older else ""
    return f"{text}, {problem}" if problem else text


def zygote(*, generation: int, modules: tuple[str, ...]) -> str:
    """Title of a zygote: its generation, and the modules that it imported."""
    return f"resqued zygote [gen {generation}] {' '.join(modules)}".rstrip()


def starting() -> str:
    """Title of a worker that is not registered yet."""
    return f"{_PREFIX}: Starting"


def waiting(queues: tuple[str, ...]) -> str:
    """Title of an idle worker, with the queues that its list matches now."""
    return f"{_PREFIX}: Waiting for {','.join(queues)}"


def paused() -> str:
    """Title of a worker that is paused."""
    return f"{_PREFIX}: Paused"


def forked(pid: int, now: float) -> str:
    """Title of a worker whose child `pid` has run a job since `now`."""
    return f"{_PREFIX}: Forked {pid} at {int(now)}"


def quitting(pid: int, generation: int) -> str:
    """Title of a worker that leaves when its child `pid` has finished its job."""
    return f"{_PREFIX}: Quitting after {pid} [gen {generation}]"


def hook(kind: str) -> str:
    """Title of a process that runs the hooks of a worker."""
    return f"{_PREFIX}: Hook {kind}"


def in_namespace(title: str, namespace: str) -> str:
    """Return the title of a worker, with its namespace after the version."""
    return title.replace(_PREFIX, f"{_PREFIX}[{namespace}]", 1)


def processing(queue: str, class_name: str, now: float) -> str:
    """Title of a child that has run a job since `now`."""
    return f"{_PREFIX}: Processing {queue} since {int(now)} [{class_name}]"


# Title of a child that was forked ahead and waits for a job.
STANDBY = f"{_PREFIX}: Standby"
