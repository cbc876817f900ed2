"""An application whose hooks do what the arguments of a job, or a file, ask for.

Each hook notes its name in the file `notes` of the daemon's folder, and then returns,
returns False, raises, hangs, or kills its process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import resqued


def act(kind: str, action: str) -> object:
    """Note that a hook runs, and do what is asked of it."""
    with Path("notes").open("a") as notes:
        notes.write(f"{kind} {action} {os.getpid()}\n")
    match action:
        case "false":
            return False
        case "raise":
            raise ValueError(f"{kind} says no")
        case "hang":
            time.sleep(600)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    return None


@resqued.job(queue="hooked", name="Hooked")
def hooked(kind: str, action: str) -> None:
    with Path("notes").open("a") as notes:
        notes.write(f"perform {kind} {action}\n")
    if kind == "on_failure":
        raise LookupError("the job has failed")
    if kind == "on_failure after death":
        os.kill(os.getpid(), signal.SIGKILL)


@hooked.before_perform
def before(kind: str, action: str) -> object:
    return act(kind, action) if kind == "before_perform" else None


@hooked.around_perform
def around(kind: str, action: str) -> Iterator[None]:
    if kind == "around_perform":
        act(kind, action)
    yield


@hooked.after_perform
def after(kind: str, action: str) -> object:
    return act(kind, action) if kind == "after_perform" else None


@hooked.on_failure
def failed(error: BaseException, kind: str, action: str) -> object:
    is_asked = kind.startswith("on_failure")
    return act(f"{kind}: {type(error).__name__}", action) if is_asked else None


@resqued.job(queue="forked", name="Forked")
def forked(kind: str, action: str) -> None:
    hooked(kind, action)


@resqued.hook.after_fork
def after_fork(job: resqued.JobInfo) -> object:
    kind, action = job.args
    return act(kind, action) if kind == "after_fork" else None


if Path("before_fork").exists():

    @resqued.hook.before_fork
    def before_fork(job: resqued.JobInfo) -> object:
        kind, action = job.args
        return act(kind, action) if kind == "before_fork" else None


def _action() -> str:
    return Path("action").read_text() if Path("action").exists() else "return"


@resqued.hook.before_first_fork
def before_first_fork() -> object:
    return act("before_first_fork", _action())


@resqued.hook.before_first_fork
def second() -> object:
    return act("second", "return")


@resqued.hook.queue_empty
def queue_empty() -> object:
    return act("queue_empty", _action())


@resqued.hook.before_pause
def before_pause(worker: str) -> object:
    assert worker.count(":") == 2
    return act("before_pause", _action())


@resqued.hook.after_pause
def after_pause(worker: str) -> object:
    assert worker.count(":") == 2
    return act("after_pause", _action())


@resqued.hook.shutdown
def shutdown() -> object:
    return act("shutdown", _action())


@resqued.hook.worker_exit
def worker_exit() -> object:
    return act("worker_exit", _action())
