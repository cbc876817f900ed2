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
from resqued.execution.registration import WorkerRegistration
from resqued.execution.warmup import NAME
from resqued.ipc.job_pipe import WorkerEnd
from resqued.worker import WorkerProcess

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
            before(self, *args)
        result = original(self, *args, **kwargs)
        if after is not None:
            after(self, result, *args)
        return result

    setattr(owner, name, wrapped)


held: dict[str, bytes] = {}


def remember(_worker: WorkerProcess, answer: Any) -> None:
    if answer.held is not None:
        held["payload"] = answer.held.payload


def has_result(running: ActiveJob, *_: Any) -> None:
    if running._told is not None:
        strike(running.held.payload)


def settles(registration: WorkerRegistration) -> None:
    if registration.ending is not None:
        strike(held["payload"])


def settled(_registration: WorkerRegistration, answer: Any) -> None:
    if "payload" in held and answer.settled.value == 1:
        strike(held["payload"])


wrap(WorkerProcess, "_take_in", remember, None)
match os.environ.get("FAULT_POINT"):
    case "after-reserve":
        wrap(
            WorkerProcess,
            "_take_in",
            lambda _, answer: strike(answer.held.payload) if answer.held else None,
            None,
        )
    case "before-handing-over":
        wrap(WorkerEnd, "give", lambda _, _queue, payload: strike(payload), None)
    case "while-the-child-runs":
        wrap(
            WorkerProcess,
            "_start",
            None,
            lambda worker, *_: strike(worker._running.held.payload),
        )
    case "after-the-result":
        wrap(ActiveJob, "listen", None, has_result)
        wrap(ActiveJob, "ended", None, has_result)
    case "before-settling":
        wrap(WorkerRegistration, "ask", settles, None)
    case "after-settling":
        wrap(WorkerRegistration, "ask", None, settled)
    case None:
        pass  # imported by the tests themselves, for POINTS
    case point:
        raise ValueError(point)
