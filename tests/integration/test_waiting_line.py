"""The line of masters that wait for new jobs: places, and the end of what is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from resqued.store.connection import SingleLink
from resqued.store.waiting_line import KEPT_EVERY, LIFE, WaitingLine
from resqued.wire.keys import Keys

pytestmark = pytest.mark.server_semantics

LINE = "resque:resqued:line:default"


@pytest.fixture
def line(redis_url: str) -> Iterator[WaitingLine]:
    link = SingleLink(redis_url, timeout=30)
    link.listen(lambda message: message)
    made = WaitingLine(link, Keys("resque"))
    assert made.open()
    yield made
    link.close()


def test_a_line_that_nobody_keeps_ends(
    line: WaitingLine, redis: redis_py.Redis
) -> None:
    assert line.join("default") == 1
    assert 0 < redis.ttl(LINE) <= LIFE


def test_the_first_in_the_line_begins_its_life_and_all_keep_it(
    line: WaitingLine, redis: redis_py.Redis
) -> None:
    assert line.join("default") == 1
    assert redis.ttl(LINE) > 1000
    redis.rpush(LINE, "of-another-master")
    redis.expire(LINE, 1000)
    assert line.keep("default")
    assert redis.ttl(LINE) > 1000
    assert redis.llen(LINE) == 2


def test_to_join_a_line_costs_the_server_two_commands(
    line: WaitingLine, redis: redis_py.Redis
) -> None:
    redis.rpush(LINE, "of-another-master")
    line.join("default")
    before = redis.info("stats")["total_commands_processed"]
    assert line.join("default") == 3
    after = redis.info("stats")["total_commands_processed"]
    # The call of the script, its RPUSH, and the INFO of this test.
    assert after - before == 3


def test_a_master_learns_that_its_place_is_gone(
    line: WaitingLine, redis: redis_py.Redis
) -> None:
    line.join("default")
    redis.delete(LINE)
    redis.rpush(LINE, "of-another-master")
    redis.expire(LINE, 1000)
    assert not line.keep("default")
    # It keeps no line in which it does not stand.
    assert redis.ttl(LINE) <= 1000
    assert line.join("default") == 2


def test_a_call_passes_those_over_that_are_gone(
    line: WaitingLine, redis: redis_py.Redis
) -> None:
    redis.rpush(LINE, "of-a-dead-master")
    line.join("default")
    assert line.call("default", 1) == 1
    assert line.take_calls() == ["default"]
    assert not redis.exists(LINE)


def test_a_key_of_another_type_is_an_empty_line(
    line: WaitingLine, redis: redis_py.Redis
) -> None:
    """Each master that joins it is the first, and listens; none is stopped."""
    line.join("default")
    redis.delete(LINE)
    redis.set(LINE, "no list")
    assert line.join("default") == 1
    assert line.call("default", 2) == 0
    assert not line.keep("default")
    line.join("default")
    assert line.open(), "which leaves the lines of before"
    line.join("default")
    line.leave("default")
    assert redis.get(LINE) == b"no list"


def test_a_line_is_kept_several_times_in_its_life() -> None:
    # One message that comes late, or one busy quarter of an hour, costs no place.
    assert KEPT_EVERY * 3 < LIFE
