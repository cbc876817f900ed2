"""Queues of the same name under other namespaces of this database.

A bounded walk through the names of keys (SCAN), which the server makes in small
steps: it holds nobody up, however many keys there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from resqued.errors import StoreError
from resqued.store.connection import Link
from resqued.wire.keys import Keys

# Names that the server looks at in one step, and steps.
STEP = 1_000
STEPS = 200
# What Redis takes for a pattern.
_SPECIAL = re.compile(r"([*?\[\]\\^-])")


@dataclass(frozen=True, slots=True)
class OtherNamespaces:
    """Keys of other namespaces with their lengths; `unseen`: why not all are here."""

    queues: dict[str, int]
    unseen: str = ""


def look_elsewhere(link: Link, keys: Keys, queue: str) -> OtherNamespaces:
    """Return the queues of this name that stand under any namespace but ours."""
    found: dict[str, int] = {}
    try:
        for step, names in enumerate(_scan(link, f"*queue:{_escaped(queue)}"), start=1):
            for name in names:
                size = _size(link, name) if _is_other(name, keys, queue) else 0
                if size:
                    found[name] = size
            if step == STEPS:
                return OtherNamespaces(
                    found, f"no more than {STEP * STEPS} names were read"
                )
    except StoreError as error:
        return OtherNamespaces(found, str(error))
    return OtherNamespaces(found)


def _scan(link: Link, pattern: str) -> Iterator[list[str]]:
    """Yield the names that fit, one step at a time; many steps find none."""
    cursor = b"0"
    while True:
        cursor, names = link.call("SCAN", cursor, "MATCH", pattern, "COUNT", STEP)
        yield [name.decode("utf-8", "surrogateescape") for name in names]
        if int(cursor) == 0:
            return


def _is_other(name: str, keys: Keys, queue: str) -> bool:
    """Say whether a key is the queue, but under no namespace or another."""
    is_queue = name == f"queue:{queue}" or name.endswith(f":queue:{queue}")
    return is_queue and name != keys.queue(queue)


def _size(link: Link, name: str) -> int:
    try:
        return int(link.call("LLEN", name))
    except StoreError as error:
        if "WRONGTYPE" in str(error):
            return 0  # no queue
        raise


def _escaped(name: str) -> str:
    return _SPECIAL.sub(r"\\\1", name)
