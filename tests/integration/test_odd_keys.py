"""Keys of other types than ours: what one program writes stops no other queue."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import redis as redis_py

import resqued
from resqued.errors import StoreError
from resqued.store.connection import SingleLink
from resqued.store.runs import FinishedRun, NoJob, Runs, SettleOutcome
from resqued.wire.payload import Reservation
from tests.support.runs import registered

pytestmark = pytest.mark.server_semantics

JOB = b'{"class":"Print","args":[]}'
FAILURE = b'{"error":"e"}'
# What a key may hold that is none of ours.
ODD = ["zset", "hash", "set", "list", "string", "number", "long"]


def put(client: redis_py.Redis, key: str, kind: str) -> None:
    client.delete(key)
    match kind:
        case "zset":
            client.zadd(key, {"x": 1})
        case "hash":
            client.hset(key, "x", "1")
        case "set":
            client.sadd(key, "x")
        case "list":
            client.rpush(key, "x")
        case "string":
            client.set(key, "no number")
        case "number":
            client.set(key, "1e400")
        case "long":
            client.set(key, "a" + " " * 60_000 + "b")


@pytest.fixture
def link(redis_url: str) -> Iterator[SingleLink]:
    link = SingleLink(redis_url)
    yield link
    link.close()


@pytest.fixture
def runs(link: SingleLink) -> Runs:
    return registered(link, "mail,good")


def taken(runs: Runs) -> Reservation:
    """Reserve a job, which there must be."""
    _, held = runs.reserve()
    assert isinstance(held, Reservation)
    return held


@pytest.mark.parametrize("kind", ["zset", "hash", "set", "string"])
def test_a_queue_that_is_no_list_is_passed_over_and_named(
    runs: Runs, redis: redis_py.Redis, kind: str
) -> None:
    put(redis, "resque:queue:mail", kind)
    redis.rpush("resque:queue:good", JOB)
    held = taken(runs)
    assert (held.queue, runs.wrong_type) == ("good", "mail")
    runs.wrong_type = ""
    assert runs.reserve(FinishedRun(held.run)) == (SettleOutcome.RECORDED, NoJob.EMPTY)
    assert runs.wrong_type == "mail"


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("key", ["pause-all-workers", "stat:processed", "stat:failed"])
def test_a_key_that_holds_something_else_stops_no_job(
    runs: Runs, redis: redis_py.Redis, key: str, kind: str
) -> None:
    put(redis, f"resque:{key}", kind)
    before = redis.dump(f"resque:{key}")
    redis.rpush("resque:queue:good", JOB)
    held = taken(runs)
    settled, _ = runs.reserve(FinishedRun(held.run, FAILURE))
    assert settled is SettleOutcome.RECORDED
    assert redis.lrange("resque:failed", 0, -1) == [FAILURE]
    assert redis.dump(f"resque:{key}") == before, "it is somebody else's"


@pytest.mark.parametrize("kind", ["zset", "hash", "set", "string"])
def test_no_failure_is_forgotten_when_the_list_of_failures_is_none(
    runs: Runs, redis: redis_py.Redis, kind: str
) -> None:
    put(redis, "resque:failed", kind)
    redis.rpush("resque:queue:good", JOB)
    held = taken(runs)
    settled, _ = runs.reserve(FinishedRun(held.run, FAILURE))
    assert settled is SettleOutcome.ASIDE
    assert redis.lrange("resque:resqued:failed", 0, -1) == [FAILURE]
    assert redis.get("resque:stat:failed") == b"1"


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("key", ["stat:processed:{}", "stat:failed:{}", "worker:{}"])
def test_the_worker_s_own_keys_are_mended_and_its_run_is_recorded_once(
    runs: Runs, redis: redis_py.Redis, key: str, kind: str
) -> None:
    name = "resque:" + key.format("host:1:mail,good")
    redis.rpush("resque:queue:good", JOB, JOB)
    held = taken(runs)
    put(redis, name, kind)
    settled, second = runs.reserve(FinishedRun(held.run, FAILURE))
    assert settled is SettleOutcome.RECORDED
    assert isinstance(second, Reservation)
    assert runs.settle(FinishedRun(second.run))[0] is SettleOutcome.RECORDED
    assert redis.lrange("resque:failed", 0, -1) == [FAILURE]
    assert redis.get("resque:stat:processed") == b"2"


@pytest.mark.parametrize("kind", ["zset", "set", "list", "string"])
def test_without_identities_no_job_begins_and_the_key_is_named(
    runs: Runs, redis: redis_py.Redis, kind: str
) -> None:
    redis.rpush("resque:queue:good", JOB)
    identities = redis.hgetall("resque:resqued:workers")
    put(redis, "resque:resqued:workers", kind)
    with pytest.raises(StoreError, match="WRONGTYPE resque:resqued:workers is no hash"):
        runs.reserve()
    assert redis.llen("resque:queue:good") == 1
    redis.delete("resque:resqued:workers")
    redis.hset("resque:resqued:workers", mapping=identities)
    assert taken(runs).queue == "good"


@pytest.mark.parametrize("kind", ["zset", "hash", "list", "string"])
def test_a_set_of_names_that_is_none_has_no_names(
    link: SingleLink, redis: redis_py.Redis, kind: str
) -> None:
    runs = registered(link, "*")
    put(redis, "resque:queues", kind)
    assert runs.reserve()[1] is NoJob.EMPTY
    redis.delete("resque:queues")
    redis.sadd("resque:queues", "good")
    redis.rpush("resque:queue:good", JOB)
    assert isinstance(runs.reserve()[1], Reservation)


def test_who_looks_at_all_queues_sees_the_others(
    link: SingleLink, redis_url: str, redis: redis_py.Redis
) -> None:
    client = resqued.Client(redis_url)
    client.push("good", json.loads(JOB))
    redis.sadd("resque:queues", "mail")
    put(redis, "resque:queue:mail", "zset")
    for key in ("stat:processed", "stat:failed"):
        put(redis, f"resque:{key}", "string")
    assert client.queue_sizes() == {"good": 1, "mail": 0}
    status = client.status()
    assert (status.processed, status.failed) == (0, 0)
