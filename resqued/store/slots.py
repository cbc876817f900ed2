"""Slots of a cluster: which one the keys of a namespace are in. Connects to nothing."""

from __future__ import annotations

from binascii import crc_hqx

SLOTS = 16_384


def slot_of_key(key: bytes) -> int:
    """Return the slot of a key: the CRC16 of its tag, or of all of it without one."""
    head, _, tail = key.partition(b"{")
    tag, end, _ = tail.partition(b"}")
    is_tagged = len(head) < len(key) and end and tag
    return crc_hqx(tag if is_tagged else key, 0) % SLOTS


def slot_of_namespace(namespace: str) -> int | None:
    """Return the slot that all keys of a namespace are in; None if there are several.

    They are in one slot if the namespace has a tag, in braces: `{resque}`.
    """
    prefix = namespace.encode("utf-8", "surrogateescape") + b":"
    slot = slot_of_key(prefix)
    return slot if slot == slot_of_key(prefix + b"0") else None
