"""Payloads of any size and content: neither Redis, worker nor master decodes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.errors import ArgumentError
from resqued.log import logger
from resqued.master.reclaimer import Reclaimer
from resqued.store.connection import SingleLink
from resqued.store.registry import Registry
from resqued.wire import payload
from resqued.wire.keys import Keys
from resqued.wire.payload import Reservation
from tests.support.daemon import Daemon
from tests.support.runs import registered

pytestmark = pytest.mark.server_semantics

Q = "resque:queue:q"
MEGABYTE = 1 << 20


@pytest.fixture
def link(redis_url: str) -> Iterator[SingleLink]:
    made = SingleLink(redis_url, timeout=30)
    yield made
    made.close()


def bomb(size: int) -> bytes:
    """A job whose value takes 40 times the memory of its text."""
    return b'{"class":"Print","args":[' + b"[]," * (size // 3) + b"1]}"


def script_memory(redis: redis_py.Redis) -> int:
    """The most memory that the server has used since the last CONFIG RESETSTAT."""
    return int(redis.info("memory")["used_memory_peak"])


def test_a_payload_is_taken_without_being_decoded_by_the_server(
    link: SingleLink, redis: redis_py.Redis
) -> None:
    raw = bomb(8 * MEGABYTE)
    runs = registered(link, "q")
    redis.rpush(Q, raw)
    redis.config_resetstat()
    before = script_memory(redis)
    _, held = runs.reserve()
    assert isinstance(held, Reservation)
    assert held.payload == raw
    assert script_memory(redis) - before < 12 * len(raw)
    record = redis.get("resque:worker:host:1:q")
    assert record is not None
    assert record.endswith(raw + b"}")


@pytest.mark.parametrize(
    "raw",
    [b"[1]", b"null", b"5", b'"text"', b"{nope", b"{'class': 'A'}", b"\xff" * 9, b""],
)
def test_what_is_no_object_stands_in_the_record_as_a_string(
    link: SingleLink, redis: redis_py.Redis, raw: bytes
) -> None:
    runs = registered(link, "q")
    redis.rpush(Q, raw)
    _, held = runs.reserve()
    assert isinstance(held, Reservation)
    assert held.payload == raw
    record = redis.get("resque:worker:host:1:q") or b""
    assert isinstance(json.loads(record.decode("latin-1"))["payload"], str)


@pytest.mark.parametrize("size", [99, 100, 101, 5000])
def test_a_payload_that_is_too_long_is_replaced_by_what_it_was(
    link: SingleLink, redis: redis_py.Redis, size: int
) -> None:
    raw = (b'{"class":"A\xff/' + b"\x01" * size)[:size]
    runs = registered(link, "q", max_payload=100)
    redis.rpush(Q, raw)
    _, held = runs.reserve()
    assert isinstance(held, Reservation)
    if size <= 100:
        assert held.payload == raw
        return
    job = payload.decode_job(held.payload)
    head, reason = job.args
    assert head.startswith('{"class":"A?/')
    assert len(head) == min(size, 1000)
    digest = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    assert reason == (
        f"payload of {size} bytes is longer than max_payload, 100 bytes; SHA-1 {digest}"
    )
    assert payload.refusal(job) == reason
    record = json.loads(redis.get("resque:worker:host:1:q") or b"")
    assert record["payload"]["class"] == payload.PAYLOAD_ERROR


def test_payloads_that_cannot_be_run_become_bounded_failures(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    """All at once: what is too long, what is no job, and what fails."""
    bad = {
        b"\x01" * (3 * MEGABYTE): "longer than max_payload",
        bomb(3 * MEGABYTE): "longer than max_payload",
        b"\x01" * MEGABYTE: "payload is not JSON",
        b'{"class":"Nope","args":["' + b"x" * 70_000 + b'"]}': "Nope is not a job",
        b"[1]": "payload is not an object but a list",
        b'{"class":"Resqued::PayloadError","args":["[1]"]}': "was no job",
        b'{"class":"%s"}' % (b"x" * 70_000): "is not a job",
    }
    redis.sadd("resque:queues", "q")
    redis.rpush(Q, *bad)
    (tmp_path / "resqued.toml").write_text('[worker]\nmax_payload = "2M"\n')
    options = ("--burst", "-a", "tests.support.jobs", "-r", redis_url)
    with Daemon("q", "-c", "resqued.toml", *options, cwd=tmp_path) as daemon:
        assert daemon.wait() == 0
        lines = daemon.log().splitlines()
    entries = redis.lrange("resque:failed", 0, -1)
    assert len(entries) == len(bad)
    for entry, error in zip(entries, bad.values(), strict=True):
        failure = json.loads(entry)
        assert error in failure["error"]
        assert len(entry) < 7 * MEGABYTE
        assert set(failure["payload"]) <= {"class", "args"}
    assert max(map(len, lines)) < 10_000


def test_the_library_refuses_what_workers_would(
    redis: redis_py.Redis, redis_url: str
) -> None:
    client = resqued.Client(redis_url, max_payload=100)
    with pytest.raises(ArgumentError, match="payload of 125 bytes is longer"):
        client.enqueue_to("q", "A", "x" * 100)
    with pytest.raises(ArgumentError, match="longer than max_payload"):
        client.enqueue_many([("x" * 100,)], job="A", queue="q")
    with pytest.raises(ArgumentError, match="longer than max_payload"):
        client.push("q", "x" * 100)
    client.enqueue_to("q", "A", "x" * 70)
    assert redis.llen(Q) == 1
    client.close()
    with pytest.raises(ArgumentError, match="longer than max_payload, 16777216 bytes"):
        resqued.Client(redis_url).enqueue_to("q", "A", "x" * (16 * MEGABYTE))


@pytest.mark.parametrize(
    "head", [b'{"queue":"q","run_at":"2026-01-01T00:00:00Z",', b"{"]
)
def test_a_master_prunes_a_worker_whatever_its_record_holds(
    link: SingleLink, redis: redis_py.Redis, head: bytes
) -> None:
    silent = "2026-01-01T00:00:00+00:00"
    redis.sadd("resque:workers", "far:1:q")
    redis.hset("resque:workers:heartbeat", "far:1:q", silent)
    record = head + b'"payload":' + bomb(4 * MEGABYTE) + b"}"
    redis.set("resque:worker:far:1:q", record)
    reclaimer = Reclaimer(Registry(link, Keys("resque")), "test", logger.get())
    for turn in range(4):
        reclaimer.turn(float(turn))
    (entry,) = redis.lrange("resque:failed", 0, -1)
    assert len(entry) < len(record) + 1000
    shown = payload.class_of(json.dumps(json.loads(entry)["payload"]).encode())
    assert shown == ("Print" if b"run_at" in head else payload.PAYLOAD_ERROR)
