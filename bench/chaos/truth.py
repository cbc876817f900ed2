"""Compares the registry of workers in Redis with the processes of this host."""

from __future__ import annotations

from collections.abc import Collection

import redis as redis_py

from resqued.system import process
from resqued.wire.worker_entry import Identity

NAMESPACE = "resque"
NS = f"{NAMESPACE}:"


def untruths(
    redis: redis_py.Redis, kept: Collection[str] = (), namespace: str = NAMESPACE
) -> list[str]:
    """Return a text for each entry of the registry that is wrong.

    Each worker that is registered or has a key must live on this host, except those
    in `kept`; and each living worker must be registered.
    """
    ns = f"{namespace}:"
    pipe = redis.pipeline(transaction=True)
    pipe.smembers(f"{ns}workers")
    pipe.hgetall(f"{ns}resqued:workers")
    pipe.hkeys(f"{ns}workers:heartbeat")
    pipe.keys(f"{ns}worker:*")
    members, identities, beating, keys = pipe.execute()
    alive = {i.decode() for i, text in identities.items() if lives(text.decode())}
    claims = {
        "is registered": {m.decode() for m in members},
        "has an identity": {i.decode() for i in identities},
        "has a heartbeat": {b.decode() for b in beating},
        "has a record": {worker_of(key.decode(), ns) for key in keys},
    }
    problems = [
        f"{worker} {claim} and is dead"
        for claim, ids in claims.items()
        for worker in sorted(ids - alive - set(kept))
    ]
    missing = alive - claims["is registered"]
    return problems + [f"{worker} lives and is not registered" for worker in missing]


def lives(identity: str) -> bool:
    """Return True if the process of an identity lives on this host."""
    known = Identity.decode(identity)
    return (
        known is not None
        and (known.boot, known.pids) == (process.boot_id(), process.namespaces())
        and process.start_time(known.pid) == known.start
    )


def worker_of(key: str, ns: str) -> str:
    """Return the worker's id from the name of one of its keys."""
    return key.removeprefix(f"{ns}worker:").removesuffix(":started")
