"""Queues of the same name under other namespaces of this database.

Found by SCAN, which reads the names of keys in small steps: the server is never
blocked, however many keys it has. The number of steps is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator

from msgspec import Struct

from resqued.errors import StoreError
from resqued.store.connection import Link
from resqued.store.store_errors import is_wrong_type
from resqued.wire.keys import Keys

# How many names the server reads in one step, and the largest number of steps.
STEP = 1_000
STEPS = 200
# Characters that are special in a pattern of Redis.
_SPECIAL = re.compile(r"([*?\[\]\\^-])")


class OtherNamespaces(Struct, frozen=True):
    """Lengths of queues under other namespaces, by key.

    `unseen` is the reason why keys may be missing; "" if all keys were read.
    """

    queues: dict[str, int]
    unseen: str = ""


def look_elsewhere(link: Link, keys: Keys, queue: str) -> OtherNamespaces:
    """Return the queues of this name under other namespaces that are not empty.

    An error of Redis does not raise; it is the `unseen` of the result.
    """
    queues: dict[str, int] = {}
    try:
        for step, names in enumerate(_scan(link, f"*queue:{_escaped(queue)}"), start=1):
            for name in names:
                size = _size(link, name) if _is_other(name, keys, queue) else 0
                if size:
                    queues[name] = size
            if step == STEPS:
                return OtherNamespaces(
                    queues, f"no more than {STEP * STEPS} names were read"
                )
    except StoreError as error:
        return OtherNamespaces(queues, str(error))
    return OtherNamespaces(queues)


def unlisted_queues(
    link: Link,
    keys: Keys,
    cursor: int = 0,
    *,
    listed: Container[str] = (),
    steps: int = 20,
) -> tuple[list[str], int]:
    """Return names of queues that have jobs and are not in the set of known ones.

    Continues at a cursor of SCAN, for that many steps, and returns the next cursor,
    which is 0 at the end. Of names that were `listed` a moment ago Redis is not asked.
    Raises StoreError.
    """
    prefix = keys.queue("")
    found: set[str] = set()
    for _ in range(steps):
        following, names = link.call(
            "SCAN", cursor, "MATCH", f"{_escaped(prefix)}*", "COUNT", STEP
        )
        cursor = int(following)
        queues = [n.decode("utf-8", "surrogateescape") for n in names]
        queues = [name.removeprefix(prefix) for name in queues]
        queues = [name for name in queues if name not in listed]
        known = link.pipeline([("SISMEMBER", keys.queues, name) for name in queues])
        found.update(
            n for n, is_known in zip(queues, known, strict=True) if not is_known
        )
        if not cursor:
            break
    return sorted(found), cursor


def other_namespaces(link: Link, keys: Keys) -> tuple[str, ...]:
    """Return the other namespaces of this database that have queues, sorted.

    Reads the names of at most STEP * STEPS keys. Raises StoreError.
    """
    found: set[str] = set()
    for step, names in enumerate(_scan(link, "*:queues"), start=1):
        found.update(name.removesuffix(":queues") for name in names)
        if step == STEPS:
            break
    return tuple(sorted(found - {keys.namespace}))


def _scan(link: Link, pattern: str) -> Iterator[list[str]]:
    """Yield the names that match, step by step; the list of a step may be empty."""
    cursor = b"0"
    while True:
        cursor, names = link.call("SCAN", cursor, "MATCH", pattern, "COUNT", STEP)
        yield [name.decode("utf-8", "surrogateescape") for name in names]
        if int(cursor) == 0:
            return


def _is_other(name: str, keys: Keys, queue: str) -> bool:
    """Return True if a key is the queue under another namespace or under none."""
    is_queue = name == f"queue:{queue}" or name.endswith(f":queue:{queue}")
    return is_queue and name != keys.queue(queue)


def _size(link: Link, name: str) -> int:
    try:
        return int(link.call("LLEN", name))
    except StoreError as error:
        if is_wrong_type(error):
            return 0  # the key is not a list, so it is no queue
        raise


def _escaped(name: str) -> str:
    return _SPECIAL.sub(r"\\\1", name)
