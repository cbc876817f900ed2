"""Few failures of a long list are changed where they are; the list is not moved."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import resqued
from resqued.store import few_elements
from resqued.store.bulk import BulkProgress, last_of
from resqued.store.failure_filter import FailureFilter
from tests.support.cli import add_failure
from tests.support.watched_link import WatchedLink

RARE = FailureFilter(class_name="Rare")
FAILED = "resque:failed"


@pytest.fixture
def long_list(redis: Any) -> list[int]:
    """2,500 failures, of which each hundredth is of the class Rare: their numbers."""
    rare = [*range(0, 2_500, 100)]
    for number in range(2_500):
        name = "Rare" if number % 100 == 0 else "Usual"
        add_failure(redis, number, class_name=name)
    return rare


def commands(redis: Any) -> Counter[str]:
    found = redis.info("commandstats")
    return Counter({name[8:]: stats["calls"] for name, stats in found.items()})


def left(client: resqued.Client) -> list[int]:
    return [failure.args[0] for failure in client.failures.oldest_first()]


def queued(client: resqued.Client) -> list[int]:
    return [job["args"][0] for job in client.peek("mail", 0, 9_000)]


def test_a_retry_of_few_moves_no_other(
    redis: Any, client: resqued.Client, long_list: list[int]
) -> None:
    before = commands(redis)
    done = last_of(client.failures.retry_steps(RARE))
    used = commands(redis) - before
    assert done == BulkProgress(2_500, 2_500, len(long_list))
    assert used["lset"] == len(long_list)
    # The first call may find that the server does not know the script.
    assert used["evalsha"] <= len(long_list) + 1
    assert not used["lpop"] + used["ltrim"] + used["lpos"]
    assert queued(client) == long_list
    assert left(client) == [*range(2_500)]
    marked = [f.args[0] for f in client.failures.oldest_first() if f.is_retried]
    assert marked == long_list


@pytest.mark.parametrize("action", ["remove", "retry_remove"])
def test_a_removal_of_few_moves_no_other(
    redis: Any, client: resqued.Client, long_list: list[int], action: Any
) -> None:
    seen = client.failures.seen(RARE)
    add_failure(redis, 2_500, class_name="Rare")
    before = commands(redis)
    done = last_of(client.failures.seen_steps(RARE, action, seen))
    used = commands(redis) - before
    assert done.changed == used["lrem"] == len(long_list)
    assert not used["ltrim"] + used["lpos"]
    assert left(client) == sorted({*range(2_501)} - {*long_list})
    assert queued(client) == (long_list if action == "retry_remove" else [])


def test_many_are_changed_in_bulk(
    redis: Any, client: resqued.Client, long_list: list[int]
) -> None:
    before = commands(redis)
    done = last_of(client.failures.retry_steps(FailureFilter(class_name="Usual")))
    used = commands(redis) - before
    assert done.changed == 2_500 - len(long_list)
    assert used["evalsha"] < 200
    assert left(client) == [*range(2_500)]


def test_few_of_large_failures_are_many(
    redis: Any,
    client: resqued.Client,
    long_list: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(few_elements, "ROOM", 1_000)
    before = commands(redis)
    assert last_of(client.failures.retry_steps(RARE)).changed == len(long_list)
    assert not (commands(redis) - before)["lset"]
    assert queued(client) == long_list


def test_what_a_bulk_operation_has_in_hand_is_not_missed(
    redis: Any, redis_url: str, client: resqued.Client, long_list: list[int]
) -> None:
    """A second operation begins while the first one stands in the middle."""
    steps = client.failures.remove_steps(FailureFilter(class_name="Usual"))
    next(step for step in steps if step.changed)
    assert redis.hexists("resque:resqued:bulk", "failed")
    begun = client.failures.retry_steps(RARE)
    link = WatchedLink(redis_url, steps.close)
    other = resqued.Client(redis_url).failures
    other._link = link
    assert last_of(other.retry_steps(RARE)).changed == len(long_list)
    begun.close()
    assert queued(client) == long_list


def test_what_moves_while_it_is_read_is_read_again(
    redis: Any, redis_url: str, client: resqued.Client, long_list: list[int]
) -> None:
    removing = iter(range(1, 60))

    def others_act() -> None:
        if (number := next(removing, None)) is not None:
            entry = redis.lindex(FAILED, 1)
            assert b"Rare" not in (entry or b"Rare"), number
            redis.lrem(FAILED, 1, entry)

    seen = client.failures.seen(RARE)
    failures = resqued.Client(redis_url).failures
    failures._link = WatchedLink(redis_url, others_act)
    add_failure(redis, 2_500, class_name="Rare")
    done = last_of(failures.seen_steps(RARE, "retry_remove", seen))
    assert done.changed == len(long_list)
    assert queued(client) == long_list
    assert 2_500 in left(client)


def test_a_queue_whose_key_is_no_list_leaves_its_failures_out(
    redis: Any, client: resqued.Client
) -> None:
    for number in range(6):
        add_failure(redis, number, queue="text" if number % 2 else "mail")
    redis.set("resque:queue:text", "x")
    done = last_of(client.failures.retry_steps(FailureFilter()))
    assert (done.changed, done.left_out) == (3, 3)
    assert "no list" in done.problem
    assert queued(client) == [0, 2, 4]
