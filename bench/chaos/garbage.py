"""Faults of the data in Redis: rubbish, keys of dead workers, harmful jobs."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from itertools import product

from bench.chaos.site import Site
from bench.chaos.truth import NS
from resqued.system import process
from resqued.wire import timestamps
from resqued.wire.worker_entry import Identity

RUBBISH = (
    b"not json",
    b"",
    b"[]",
    b"{}",
    b"null",
    b"17",
    b'{"class":null,"args":[]}',
    b'{"class":"Work"}',
    b'{"class":"nope.Nowhere","args":["x"]}',
    b'{"class":"Work","args":["\xff\xfe"]}',
    b"\xff\x00\xfe",
    b'"' + b"x" * 1_000_000 + b'"',
)
POISON = ("KillWorker", "KillGroup", "FillPipe", "GarblePipe", "Verbose")
STALE = 10_000
FOREIGN = 20
LONG_AGO = "2020-01-01T00:00:00+00:00"
# A pid that no process has: Linux assigns only smaller ones.
NO_PID = 1 << 23


def rubbish(site: Site) -> None:
    since = time.monotonic()
    site.put_rubbish(RUBBISH)
    site.wait(
        lambda: not any(site.redis.lpos(f"{NS}queue:default", r) for r in RUBBISH),
        "the rubbish to be taken",
    )
    site.recover(since=since)


def poison(site: Site) -> None:
    numbers = site.take_numbers(len(POISON))
    since = time.monotonic()
    site.enqueue(zip(POISON, numbers, strict=True))
    for number in numbers:
        site.wait(lambda n=number: site.has_entry(n), f"an entry for job {number}")
    site.recover(since=since)


def stale_entries(site: Site) -> None:
    """Start a master on a registry with ten thousand dead workers."""
    _with_remains(site, lambda: _put_stale(site))


def partial_keys(site: Site) -> None:
    """Leave every combination of a dead worker's keys; delete keys of living ones."""
    _with_remains(site, lambda: _put_partial(site))
    for name in ("workers", "workers:heartbeat"):
        member = site.random.choice(sorted(site.redis.smembers(f"{NS}workers")))
        since = time.monotonic()
        if name == "workers":
            site.redis.srem(f"{NS}{name}", member)
        else:
            site.redis.hdel(f"{NS}{name}", member)
        site.recover(since=since)
        site.wait(
            lambda m=member: site.redis.hexists(f"{NS}workers:heartbeat", m),
            "the heartbeat to come back",
        )


def _with_remains(site: Site, put: Callable[[], None]) -> None:
    """Stop the master, write keys of dead workers to Redis, and start it again."""
    site.master.signal(signal.SIGQUIT)
    site.master.wait()
    put()
    kept = _put_foreign(site)
    site.kept |= set(kept)
    # Instead of waiting until it expires after a minute.
    site.redis.delete(f"{NS}pruning_dead_workers_in_progress")
    site.restart_master()
    members = site.redis.smembers(f"{NS}workers")
    lost = [worker for worker in kept if worker.encode() not in members]
    if lost:
        raise AssertionError(f"pruned, but not dead: {', '.join(lost[:3])}")
    for worker in kept:
        _remove(site, worker)
    site.kept.clear()


def _put_foreign(site: Site) -> list[str]:
    """Register workers of other hosts that must be left alone; return their ids."""
    seconds, _ = site.redis.time()
    workers = [f"elsewhere:{n}:default" for n in range(FOREIGN)]
    for n, worker in enumerate(workers):
        site.redis.sadd(f"{NS}workers", worker)
        if n % 2:
            site.redis.hset(
                f"{NS}workers:heartbeat", worker, timestamps.heartbeat(seconds - 10)
            )
    return workers


def _remove(site: Site, worker: str) -> None:
    site.redis.srem(f"{NS}workers", worker)
    site.redis.hdel(f"{NS}workers:heartbeat", worker)


def _put_stale(site: Site) -> None:
    """Register dead workers: half of them of this host, one in ten with a job."""
    numbers = iter(site.take_numbers(STALE // 10))
    pipe = site.redis.pipeline(transaction=False)
    for n in range(STALE):
        worker = f"gone-{n % 7}:{NO_PID + n}:default"
        pipe.sadd(f"{NS}workers", worker)
        pipe.hset(f"{NS}workers:heartbeat", worker, LONG_AGO)
        if n % 2:
            pipe.hset(f"{NS}resqued:workers", worker, _identity(NO_PID + n))
        if n % 10 == 0:
            pipe.set(f"{NS}worker:{worker}", _record(next(numbers)))
    pipe.execute()


def _put_partial(site: Site) -> None:
    """Write every combination of a dead worker's keys from which its death shows."""
    for n, parts in enumerate(product((False, True), repeat=4)):
        is_member, has_record, has_beat, has_identity = parts
        worker = f"partial:{NO_PID + n}:default"
        if not (has_beat or has_identity):
            continue
        if is_member:
            site.redis.sadd(f"{NS}workers", worker)
        if has_record:
            (number,) = site.take_numbers(1)
            site.redis.set(f"{NS}worker:{worker}", _record(number))
        if has_beat:
            site.redis.hset(f"{NS}workers:heartbeat", worker, LONG_AGO)
        if has_identity:
            site.redis.hset(f"{NS}resqued:workers", worker, _identity(NO_PID + n))


def _identity(pid: int) -> str:
    """Return the identity of a dead worker of this host."""
    return Identity(
        boot=process.boot_id(),
        pids=process.namespaces(),
        pid=pid,
        start=1,
        interval=60.0,
        nonce=str(pid),
    ).encode()


def _record(number: int) -> str:
    job = {"class": "Work", "args": [number, 0]}
    return json.dumps({"queue": "default", "run_at": LONG_AGO, "payload": job})
