"""Which slot of a cluster the keys of a namespace are in."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from resqued.store.slots import slot_of_key, slot_of_namespace

KEYS = [
    b"",
    b"resque:queues",
    b"{resque}:queues",
    b"a{b}c{d}",
    b"a{}c",
    b"{",
    b"}{",
    b"{{a}b",
    b"a{b",
    b"\xff{\x00}",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_has_the_slot_that_redis_py_computes(key: bytes) -> None:
    assert slot_of_key(key) == key_slot(key)


@pytest.mark.parametrize("namespace", ["{resque}", "app:{a}", "{a}b", "{{a}", "{é}"])
def test_a_namespace_in_braces_is_in_one_slot(namespace: str) -> None:
    slots = {key_slot(f"{namespace}:{name}".encode()) for name in ("queues", "{x}", "")}
    assert slots == {slot_of_namespace(namespace)}


@pytest.mark.parametrize("namespace", ["resque", "", "{}", "{resque", "resque}", "}{"])
def test_another_namespace_is_in_several_slots(namespace: str) -> None:
    assert slot_of_namespace(namespace) is None
