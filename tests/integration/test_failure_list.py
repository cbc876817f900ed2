"""One list of failures: its pages while it moves, and what is done to entries of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

import resqued
from resqued.core.list_places import Place
from resqued.errors import ResquedError, StoreError
from resqued.store.failure_filter import FailureFilter
from resqued.store.failure_list import FailureList, place_of
from tests.support.cli import add_failure

pytestmark = pytest.mark.server_semantics

FAILED = "resque:failed"


@pytest.fixture
def client(redis_url: str) -> Iterator[resqued.Client]:
    with resqued.Client(redis_url) as client:
        yield client


@pytest.fixture
def failed(client: resqued.Client, redis: redis_py.Redis) -> FailureList:
    """A list with the failures of the jobs Boom(1) to Boom(10)."""
    for number in range(1, 11):
        add_failure(redis, number)
    return client.failures.in_list()


def numbers(failures: object) -> list[int]:
    return [each.args[0] for each in failures]  # type: ignore[attr-defined]


def nth(failed: FailureList, position: int) -> resqued.Failure:
    (found,) = failed.between(position, position + 1)
    return found


def test_pages_go_from_the_newest_to_the_oldest_and_back(failed: FailureList) -> None:
    first = failed.newest(4)
    assert numbers(first.failures) == [10, 9, 8, 7]
    assert first.last
    second = failed.before(first.last, 4)
    assert numbers(second.failures) == [6, 5, 4, 3]
    assert (second.span.first_rank, second.span.last_rank) == (5, 8)
    assert second.first
    assert numbers(failed.after(second.first, 4).failures) == [10, 9, 8, 7]
    assert numbers(failed.oldest(4).failures) == [4, 3, 2, 1]


def test_a_page_is_right_when_the_list_has_moved(
    failed: FailureList, client: resqued.Client, redis: redis_py.Redis
) -> None:
    last = failed.newest(4).last
    assert last
    for position in (0, 2):
        client.failures.remove(nth(failed, position))
    add_failure(redis, 11)
    page = failed.before(last, 4)
    assert numbers(page.failures) == [6, 5, 3, 2]
    assert not page.span.has_changed
    # The failure before which the page ends is gone.
    found = failed.locate(last)
    assert found
    client.failures.remove(found)
    page = failed.before(last, 4)
    assert page.span.has_changed
    assert 6 in numbers(page.failures)


def test_a_filter_looks_at_part_of_a_list(
    failed: FailureList, redis: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_failure(redis, 0, class_name="Other")
    which = FailureFilter(class_name="Boom")
    page = failed.matching(which, 3)
    assert numbers(page.failures) == [10, 9, 8]
    assert page.last
    assert numbers(failed.matching(which, 3, place=page.last).failures) == [7, 6, 5]
    assert numbers(failed.matching(which, 2, end=4).failures) == [4, 3]
    monkeypatch.setattr("resqued.store.failure_list.LOOK", 5)
    page = failed.matching(FailureFilter(class_name="None"), 3)
    assert page.is_partial
    assert page.last == place_of(nth(failed, 6))


def test_a_jump_to_a_time(failed: FailureList) -> None:
    at = nth(failed, 6).failed_at
    assert at
    assert numbers(failed.until(at.timestamp(), 2).failures) == [7, 6]
    assert not failed.until(0, 2).failures


def test_retry_and_remove_is_one_step_and_happens_once(
    failed: FailureList, client: resqued.Client, redis: redis_py.Redis
) -> None:
    failure = nth(failed, 4)
    assert client.failures.retry(failure, removes=True)
    assert not client.failures.retry(failure, removes=True)
    assert redis.lrange("resque:queue:mail", 0, -1) == [b'{"class":"Boom","args":[5]}']
    assert redis.sismember("resque:queues", "mail")
    assert numbers(failed.between(0, 10)) == [1, 2, 3, 4, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("position", [0, 9, -1])
def test_of_equal_failures_one_goes(
    client: resqued.Client, redis: redis_py.Redis, failed: FailureList, position: int
) -> None:
    add_failure(redis, 1)
    failure = resqued.Failure(nth(failed, 0).entry, position)
    assert client.failures.retry(failure, removes=True)
    assert failed.length() == 10
    assert redis.llen("resque:queue:mail") == 1


@pytest.mark.parametrize("removes", [False, True])
def test_a_retry_to_another_queue(
    failed: FailureList, client: resqued.Client, redis: redis_py.Redis, removes: bool
) -> None:
    assert client.failures.retry(nth(failed, 0), queue="slow", removes=removes)
    assert redis.llen("resque:queue:slow") == 1
    assert redis.smembers("resque:queues") == {b"slow"}
    assert failed.length() == 10 - removes


@pytest.mark.parametrize("removes", [False, True])
def test_a_retry_onto_a_key_that_is_no_list_changes_nothing(
    failed: FailureList, client: resqued.Client, redis: redis_py.Redis, removes: bool
) -> None:
    redis.set("resque:queue:mail", "x")
    before = redis.lrange(FAILED, 0, -1)
    with pytest.raises(StoreError):
        client.failures.retry(nth(failed, 3), removes=removes)
    assert redis.lrange(FAILED, 0, -1) == before


def test_a_job_is_retried_although_the_set_of_queues_is_none(
    failed: FailureList, client: resqued.Client, redis: redis_py.Redis
) -> None:
    redis.set("resque:queues", "x")
    assert client.failures.retry(nth(failed, 3))
    assert redis.llen("resque:queue:mail") == 1
    assert nth(failed, 3).is_retried


def test_clear_keeps_what_came_since(
    failed: FailureList, redis: redis_py.Redis
) -> None:
    newest = nth(failed, 9)
    add_failure(redis, 11)
    add_failure(redis, 12)
    assert failed.clear_seen(newest) == 10
    assert numbers(failed.between(0, 5)) == [11, 12]
    with pytest.raises(ResquedError, match="has changed"):
        failed.clear_seen(newest)
    assert failed.length() == 2


def test_clear_keeps_the_order_of_many_newer_ones(
    failed: FailureList, redis: redis_py.Redis
) -> None:
    newest = nth(failed, 9)
    redis.rpush(FAILED, *range(2_500))
    assert failed.clear_seen(newest) == 10
    assert redis.lrange(FAILED, 0, -1) == [b"%d" % n for n in range(2_500)]


def test_clear_refuses_beside_a_bulk_operation_and_when_too_many_are_newer(
    failed: FailureList, redis: redis_py.Redis
) -> None:
    newest = nth(failed, 9)
    redis.hset("resque:resqued:bulk", "failed", "t head ")
    with pytest.raises(ResquedError, match="bulk operation"):
        failed.clear_seen(newest)
    redis.delete("resque:resqued:bulk")
    redis.rpush(FAILED, *range(5_001))
    with pytest.raises(ResquedError, match="more than 5000"):
        failed.clear_seen(newest)
    assert failed.length() == 5_011


def test_a_place_above_the_end_of_the_list_is_changed(failed: FailureList) -> None:
    page = failed.before(Place(5_000, "0" * 12), 4)
    assert page.span.has_changed
    assert numbers(page.failures) == [10, 9, 8, 7]
