"""`resqued workers`: who works, by the registry in Redis, and who only seems to.

A worker is shown as what its record says (working, idle), unless it gives no sign
of life: its process here is gone (dead), its heartbeat is too old (silent), or it
never had one (unknown).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from resqued import process
from resqued.cli.options import ListingGroup, json_option, with_client
from resqued.cli.table import Column, show_json, show_line, show_table
from resqued.cli.text import clip, duration, json_line
from resqued.client import Client, Worker
from resqued.core import payload, registry
from resqued.core.payload import DIRTY_EXIT, Fault
from resqued.core.registry import Entry, Identity, Machine, Verdict
from resqued.errors import ResquedError
from resqued.store.registry import Burial

EXAMPLES = """
\b
Examples:
  resqued workers
  resqued workers --json
  resqued workers remove web1:4711:critical,high
"""
STATES = {
    "working": "green",
    "idle": "dim",
    "dead": "red",
    "silent": "yellow",
    "unknown": "yellow",
}
COLUMNS = (
    Column("WORKER"),
    Column("STATE", styles=STATES),
    Column("HEARTBEAT", is_number=True),
    Column("PROCESSED", is_number=True),
    Column("FAILED", is_number=True),
    Column("FOR", is_number=True),
    Column("QUEUE"),
    Column("JOB", may_be_cut=True),
)
# No machine: who is judged from here is judged by heartbeat alone.
_NOWHERE = Machine("", "")
# A busy worker changes its entry all the time; one look must fall in between.
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Sighting:
    """A worker, with what was seen of it and how long ago."""

    worker: Worker
    state: str
    heartbeat_age: float | None
    job_age: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, for --json."""
        state = {"state": self.state, "heartbeat_age": self.heartbeat_age}
        return {**asdict(self.worker), **state}

    def as_row(self) -> tuple[object, ...]:
        """Return it as a row of COLUMNS."""
        worker, job = self.worker, self.worker.job
        return (
            worker.id,
            self.state,
            duration(self.heartbeat_age),
            worker.processed,
            worker.failed,
            "" if job is None else duration(self.job_age),
            "" if job is None else job["queue"],
            "" if job is None else call(job["class"], job["args"]),
        )


def call(class_name: str, args: list[Any]) -> str:
    """Return a job as it would be called, cut to what a table has room for."""
    return clip(f"{class_name}({', '.join(map(json_line, args))})", 100)


def sightings(client: Client) -> list[Sighting]:
    """Return every registered worker, judged."""
    now = client.registry.link.time()
    return [_judged(worker, entry, now) for worker, entry in client.sightings()]


def _judged(worker: Worker, entry: Entry, now: float) -> Sighting:
    age = registry.heartbeat_age(entry.heartbeat, now)
    if age is None:
        age = registry.ping_age(entry.ping, now)
    # Ours are UTC with a Z, in whole seconds; what node-resque writes is no ISO.
    job_age = registry.heartbeat_age(worker.job["run_at"], now) if worker.job else None
    return Sighting(
        worker,
        state=_state(entry, now) or worker.state,
        heartbeat_age=None if age is None else max(0.0, age),
        job_age=job_age,
    )


def _here() -> Machine:
    return Machine(process.boot_id(), process.pid_namespace())


def _state(entry: Entry, now: float) -> str:
    """Return what is wrong with a worker, if anything is."""
    identity = Identity.decode(entry.identity)
    start = None if identity is None else process.start_time(identity.pid)
    verdict = registry.judge(entry, now=now, machine=_here(), start_of_pid=start)
    if verdict is not Verdict.DEAD:
        # A process that is there may hang all the same.
        verdict = registry.judge(entry, now=now, machine=_NOWHERE, start_of_pid=None)
    return "" if verdict is Verdict.ALIVE else verdict.value


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def workers() -> None:
    """List the workers, or remove one that is gone.

    Without a command: list.
    """


@workers.command(name="list")
@json_option
@with_client
def list_(client: Client, as_json: bool) -> None:
    """List every worker in Redis, of any host and language."""
    found = sightings(client)
    if as_json:
        show_json([sighting.as_dict() for sighting in found])
    else:
        show_table(COLUMNS, [s.as_row() for s in found], empty="no workers")


@workers.command(epilog=EXAMPLES)
@click.argument("worker_id", metavar="ID")
@with_client
def remove(client: Client, worker_id: str) -> None:
    """Remove a worker that is gone; the job it held becomes a failure.

    Masters do so by themselves with workers of their own host and with those
    whose heartbeat has stopped. This is for one that never had a heartbeat, or
    that you know better about. A live worker of this host is refused.
    """
    for _ in range(_ATTEMPTS):
        (entry,) = client.registry.read([worker_id], client.registry.ids())
        if not (entry.is_registered or entry.identity or entry.heartbeat):
            raise ResquedError(
                f"there is no worker {worker_id!r}; `resqued workers` lists them"
            )
        _refuse_if_alive(entry)
        fault = Fault(DIRTY_EXIT, "Job still being processed")
        (burial,) = client.registry.bury([(entry, fault)])
        if burial is Burial.DONE:
            job = f"; its job {_job(entry)} is now a failure" if entry.record else ""
            show_line(f"removed worker {worker_id}{job}")
            return
    raise ResquedError(f"worker {worker_id} is busy, so it lives: stop it on its host")


def _refuse_if_alive(entry: Entry) -> None:
    """Raise for a worker that runs here, ours or Ruby's."""
    identity = Identity.decode(entry.identity)
    if identity is not None:
        is_here = Machine(identity.boot, identity.pids) == _here()
        lives = is_here and process.start_time(identity.pid) == identity.start
    else:
        lives = entry.host == process.hostname() and _is_resque(entry.pid)
    if lives:
        raise ResquedError(
            f"worker {entry.worker_id} is alive, as pid {entry.pid} of this host:"
            " stop it first, with QUIT or TERM"
        )


def _is_resque(pid: int) -> bool:
    """Say whether a process of another kind than ours is a worker, by its title."""
    try:
        return b"resque" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _job(entry: Entry) -> str:
    try:
        return payload.class_of(payload.decode_held(entry.record).payload)
    except ResquedError:
        return payload.UNKNOWN_JOB
