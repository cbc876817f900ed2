"""Killing a worker at an exact point of a job's life.

Loaded beside the jobs with `-a`; FAULT_POINT names the point. Steps of the worker
are wrapped in the zygote, so every worker forked from it has them. Each job is
struck once at most: its arguments are noted in a file first.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resqued.execution.active_job import ActiveJob
from resqued.execution.job_runner import JobRunner
from resqued.execution.registration import WorkerRegistration
from resqued.execution.warmup import NAME
from resqued.ipc.job_pipe import WorkerEnd
from resqued.store.runs import Runs, SettleOutcome
from resqued.wire.payload import Reservation

POINTS = (
    "after-reserve",
    "before-handing-over",
    "while-the-child-runs",
    "after-the-result",
    "before-settling",
    "after-settling",
)


def strike(payload: bytes) -> None:
    """Kill this worker with SIGKILL, if this job has not been struck before."""
    if NAME.encode() in payload:
        return  # no job: the zygote goes through the steps of one
    struck = Path(os.environ["FAULT_FOLDER"], payload.hex())
    try:
        struck.touch(exist_ok=False)
    except FileExistsError:
        return
    fifo = os.environ.get("FAULT_FIFO")
    if fifo:
        # The test does something to the network first, and says when it has.
        Path(fifo, "told").write_text(f"{os.getpid()}\n")
        Path(fifo, "go").read_text()
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(
    owner: type, name: str, before: Callable[..., None] | None, after: Any
) -> None:
    original = getattr(owner, name)

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(self, *args, **kwargs)
        result = original(self, *args, **kwargs)
        if after is not None:
            after(self, result, *args, **kwargs)
        return result

    setattr(owner, name, wrapped)


held: dict[str, bytes] = {}


def remember(_registration: WorkerRegistration, reply: Any, **_: Any) -> None:
    if isinstance(reply, Reservation):
        held["payload"] = reply.payload


def has_reserved(_registration: WorkerRegistration, reply: Any, **_: Any) -> None:
    if isinstance(reply, Reservation):
        strike(reply.payload)


def has_result(job: ActiveJob, *_: Any, **__: Any) -> None:
    if job.has_reported:
        strike(job.held.payload)


def has_started(runner: JobRunner, *_: Any, **__: Any) -> None:
    if runner.active is not None:
        strike(runner.active.held.payload)


def settles(registration: WorkerRegistration, **_: Any) -> None:
    if registration.finished is not None:
        strike(held["payload"])


def settled(_runs: Runs, reply: Any, *_: Any) -> None:
    if "payload" in held and reply[0] is SettleOutcome.RECORDED:
        strike(held["payload"])


match os.environ.get("FAULT_POINT"):
    case "after-reserve":
        wrap(WorkerRegistration, "ask", None, has_reserved)
    case "before-handing-over":
        wrap(
            WorkerEnd, "give", lambda _, _queue, payload, *_rest: strike(payload), None
        )
    case "while-the-child-runs":
        wrap(JobRunner, "start", None, has_started)
    case "after-the-result":
        wrap(ActiveJob, "listen", None, has_result)
        wrap(ActiveJob, "ended", None, has_result)
    case "before-settling":
        wrap(WorkerRegistration, "ask", settles, None)
    case "after-settling":
        wrap(Runs, "reserve", None, settled)
    case None:
        pass  # imported by the tests themselves, for POINTS
    case point:
        raise ValueError(point)
# The outermost: the job of before is what an earlier wrapper asks for.
wrap(WorkerRegistration, "ask", None, remember)
