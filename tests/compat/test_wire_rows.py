"""Small differences that no other case touches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis as redis_py

from resqued.errors import ArgumentError
from tests.compat.wire import BOOM_1, OK_1, Case, deviates

pytestmark = pytest.mark.server_semantics


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


@deviates("too-long", "prune-lock")
def test_a_payload_that_is_too_long_is_refused_or_fails(case: Case) -> None:
    with pytest.raises(ArgumentError, match="max_payload"):
        case.client.enqueue_to("default", "Ok", "x" * (16 << 20))
    case.push("default", b'{"class":"Ok","args":["' + b"x" * 5000 + b'"]}')
    case.work(*case.configure('[worker]\nmax_payload = "4K"\n'))
    (failure,) = case.client.failures.oldest_first()
    assert failure.exception == failure.class_name == "Resqued::PayloadError"
    assert failure.error.startswith("payload of 5026 bytes is longer than max_payload")
    assert failure.args[0].startswith('{"class":"Ok","args":["xxx')


@deviates("info-failed", "results", "counts", "prune-lock")
def test_a_removed_failure_has_failed_all_the_same(case: Case) -> None:
    case.push("default", BOOM_1, BOOM_1)
    case.work()
    first, second = case.client.failures.oldest_first()
    assert case.client.failures.remove(first) is True
    info = case.client.info()
    assert (info.failed, info.failures) == (2, 1)
    assert case.client.failures.retry(second) is True
    assert case.client.remove_queue("default") == 1


@deviates("false-args")
def test_false_is_an_argument(case: Case) -> None:
    case.push("default", b'{"class":"Ok","args":false}')
    job = case.client.reserve("default")
    assert job is not None
    assert job.args == (False,)


@deviates("pause-value", "prune-lock")
def test_a_nul_beside_true_does_not_pause(case: Case) -> None:
    case.redis.set("resque:pause-all-workers", b"\0true")
    case.push("default", OK_1)
    case.work()
    assert case.redis.get("resque:stat:processed") == b"1"


@deviates("many-queues", "names", "prune-lock")
def test_the_order_of_many_queues_is_that_of_the_list(case: Case) -> None:
    names = [f"q{number:03}" for number in range(150)]
    case.redis.sadd("resque:queues", *names)
    for name in ("q140", "q003", "q101"):
        case.push(name, b'{"class":"Boom","args":["%s"]}' % name.encode())
    case.work("q1*,*")
    order = [f.queue for f in case.client.failures.oldest_first()]
    assert order == ["q101", "q140", "q003"]


@deviates("malformed", "prune-lock")
def test_the_records_of_failures_are_objects_with_a_class(case: Case) -> None:
    case.push("default", b"true", b"{nope", b'[{"class":"Ok"}]', b'"class"')
    case.work()
    for failure in case.client.failures.oldest_first():
        job = json.loads(failure.entry)["payload"]
        assert list(job) == ["class", "args"]
