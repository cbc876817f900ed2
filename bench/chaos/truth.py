"""Whether the registry is true: what it says of workers, held against processes."""

from __future__ import annotations

from collections.abc import Collection

import redis as redis_py

from resqued.system import process
from resqued.wire.worker_entry import Identity

NS = "resque:"


def untruths(redis: redis_py.Redis, kept: Collection[str] = ()) -> list[str]:
    """Tell what the registry says of workers that is not so.

    Whoever is registered, or has any key, is to live on this machine, but for those
    who are *kept* on purpose; and whoever lives is to be registered.
    """
    pipe = redis.pipeline(transaction=True)
    pipe.smembers(f"{NS}workers")
    pipe.hgetall(f"{NS}resqued:workers")
    pipe.hkeys(f"{NS}workers:heartbeat")
    pipe.keys(f"{NS}worker:*")
    members, identities, beating, keys = pipe.execute()
    alive = {i.decode() for i, text in identities.items() if lives(text.decode())}
    said = {
        "is registered": {m.decode() for m in members},
        "has an identity": {i.decode() for i in identities},
        "has a heartbeat": {b.decode() for b in beating},
        "has a record": {worker_of(key.decode()) for key in keys},
    }
    told = [
        f"{worker} {what} and is dead"
        for what, ids in said.items()
        for worker in sorted(ids - alive - set(kept))
    ]
    missing = alive - said["is registered"]
    return told + [f"{worker} lives and is not registered" for worker in missing]


def lives(identity: str) -> bool:
    """Say whether the process of an identity lives on this machine."""
    known = Identity.decode(identity)
    return (
        known is not None
        and (known.boot, known.pids) == (process.boot_id(), process.pid_namespace())
        and process.start_time(known.pid) == known.start
    )


def worker_of(key: str) -> str:
    """Return the worker's id in the name of one of its keys."""
    return key.removeprefix(f"{NS}worker:").removesuffix(":started")
