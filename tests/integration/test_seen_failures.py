"""Retrying and removing what was seen, while others add, retry and remove failures."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import resqued
from resqued.core.text_filter import TextFilter
from resqued.store import bulk, few_elements
from resqued.store.bulk import last_of
from resqued.store.failure_filter import FailureFilter
from resqued.store.failures import SeenAction
from resqued.store.seen_bound import SeenBound, SeenNothingError
from resqued.wire import payload
from resqued.wire.keys import Keys
from tests.support.cli import add_failure
from tests.support.watched_link import Death, WatchedLink

pytestmark = pytest.mark.server_semantics
KEYS = Keys("resque")
FAILED = "resque:failed"
ALL = FailureFilter()


def numbers_left(client: resqued.Client) -> list[int]:
    return [failure.args[0] for failure in client.failures.oldest_first()]


def numbers_queued(client: resqued.Client) -> list[int]:
    return [value["args"][0] for value in client.peek("mail", 0, 1_000)]


@pytest.fixture(params=["one by one", "in bulk"])
def small_chunks(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures are changed one by one, as few are, or in bulk, as many are."""
    monkeypatch.setattr(bulk, "FIRST_CHUNK", 2)
    monkeypatch.setattr(few_elements, "FIRST_CHUNK", 2)
    monkeypatch.setattr(few_elements, "_PAGE", 3)
    if request.param == "in bulk":
        monkeypatch.setattr(few_elements, "MOST", 0)


class Others:
    """Others, who add, remove and retry failures; and what must come of it."""

    def __init__(self, redis: Any, client: resqued.Client) -> None:
        self.redis = redis
        self.client = client
        self.added = 0
        self.gone: set[int] = set()
        self.pushed: set[int] = set()

    def act(self, what: str, choice: int = 0) -> None:
        if what == "a":
            add_failure(self.redis, self.added)
            self.added += 1
            return
        present = self.redis.lrange(FAILED, 0, -1) if what else []
        if not present:
            return
        failure = resqued.Failure(present[choice % len(present)])
        if what == "d" and self.client.failures.remove(failure):
            self.gone.update(failure.args)
        if what == "r" and not failure.is_retried:
            self.client.failures.retry(failure)
            self.pushed.update(failure.args)

    def check(self, seen: int, action: str) -> None:
        """Check the lists after an action on those before the number `seen`."""
        left, queued = numbers_left(self.client), numbers_queued(self.client)
        assert left == sorted({*left})
        assert queued == sorted({*queued}) or len(queued) == len({*queued})
        assert {*range(seen, self.added)} - self.gone <= {*left}
        assert {number for number in queued if number >= seen} <= self.pushed
        if action == "retry_remove":
            assert {*range(self.added)} == {*left, *queued} | self.gone
        if action == "retry":
            assert {*left} == {*range(self.added)} - self.gone


# What others do before a command: add a failure, remove or retry one of those there.
OTHERS = st.lists(st.tuples(st.sampled_from("adrd"), st.integers(0, 20)), max_size=12)


@settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    before=st.integers(0, 14),
    between=OTHERS,
    during=OTHERS,
    action=st.sampled_from(["retry", "retry_remove", "remove"]),
    most=st.integers(1, 5),
    calls=st.integers(1, 16),
    dies_after_it=st.booleans(),
)
def test_what_was_seen_goes_once_and_what_came_later_stays(
    small_chunks: None,
    redis: Any,
    redis_url: str,
    *,
    before: int,
    between: list[tuple[str, int]],
    during: list[tuple[str, int]],
    action: SeenAction,
    most: int,
    calls: int,
    dies_after_it: bool,
) -> None:
    redis.flushdb()
    others = Others(redis, resqued.Client(redis_url))
    for _ in range(before):
        others.act("a")
    up_to = others.client.failures.seen()
    for what, choice in between:
        others.act(what, choice)
    acting = iter(during)
    link = WatchedLink(redis_url, lambda: others.act(*next(acting, ("",))))
    link.calls_left, link.dies_after_it = calls, dies_after_it
    own = resqued.Client(redis_url)
    own.failures._link = link
    with suppress(Death, SeenNothingError):
        last_of(own.failures.seen_steps(ALL, action, up_to, most=most))
    redis.delete(KEYS.bulk_owner("failed"))
    link.calls_left, link.before = -1, lambda: None
    with suppress(SeenNothingError):
        last_of(own.failures.seen_steps(ALL, action, up_to, most=most))
    [*bulk.recover(link, KEYS)]
    others.check(before, action)


@settings(
    max_examples=40,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    # When each was retried before, in seconds before the action begins; -1 is never.
    ages=st.lists(st.sampled_from([-1, 0, 1, 1000]), max_size=14),
    list_name=st.sampled_from(["failed", "mail_failed"]),
    # The clock of the server may be ahead of that of this host, or behind.
    ahead=st.sampled_from([-3600.0, -0.5, 0.25, 3600.0]),
    most=st.integers(1, 5),
    deaths=st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=3),
)
def test_what_was_retried_is_retried_once_more_whatever_dies(
    small_chunks: None,
    redis: Any,
    redis_url: str,
    *,
    ages: list[int],
    list_name: str,
    ahead: float,
    most: int,
    deaths: list[tuple[int, bool]],
) -> None:
    redis.flushdb()
    began = time.time() + ahead
    key = f"resque:{list_name}"
    redis.sadd("resque:failed_queues", "mail_failed")
    for number, age in enumerate(ages):
        add_failure(redis, number)
        entry = redis.rpop(FAILED)
        if age >= 0:
            entry = payload.retried(entry, began - age, has_zone=key == FAILED)
        redis.rpush(key, entry)
    own = resqued.Client(redis_url)
    up_to = own.failures.seen()
    link = WatchedLink(redis_url, lambda: None)
    own.failures._link = link
    again = FailureFilter(is_retried=True)
    for calls, dies_after_it in [*deaths, (-1, False)]:
        link.calls_left, link.dies_after_it = calls, dies_after_it
        with suppress(Death):
            last_of(
                own.failures.seen_steps(again, "retry", up_to, most=most, began=began)
            )
        redis.delete(KEYS.bulk_owner(list_name))
    wanted = [number for number, age in enumerate(ages) if age >= 0]
    assert sorted(numbers_queued(own)) == wanted
    assert numbers_left(own) == list(range(len(ages)))


def test_what_fails_after_the_look_is_not_touched(
    redis: Any, client: resqued.Client
) -> None:
    for number in range(20):
        add_failure(redis, number)
    up_to = client.failures.seen()
    for number in range(20, 30):
        add_failure(redis, number)
    # Each moves the others down; one of the newest that were seen goes too.
    entries = redis.lrange(FAILED, 0, -1)
    for number in (0, 1, 19, 26):
        redis.lrem(FAILED, 1, entries[number])
    done = last_of(client.failures.seen_steps(ALL, "retry_remove", up_to))
    assert numbers_left(client) == [n for n in range(20, 30) if n != 26]
    assert done.changed == 17
    assert numbers_queued(client) == list(range(2, 19))


def test_nothing_is_touched_when_the_place_is_gone(
    redis: Any, client: resqued.Client
) -> None:
    add_failure(redis, 1)
    up_to = client.failures.seen()
    redis.delete(FAILED)
    add_failure(redis, 2)
    with pytest.raises(SeenNothingError):
        last_of(client.failures.seen_steps(ALL, "remove", up_to))
    assert numbers_left(client) == [2]


def test_a_bound_passes_through_a_form(redis: Any, client: resqued.Client) -> None:
    for number in range(8):
        add_failure(redis, number)
    bound = client.failures.seen()["failed"]
    assert SeenBound.of(str(bound)) == bound
    with pytest.raises(resqued.ResquedError):
        SeenBound.of("8.zz")


def test_a_filter_by_host_and_text(redis: Any, client: resqued.Client) -> None:
    add_failure(redis, 1, error="cannot reach Mail.example.org")
    add_failure(redis, 2, error="other")
    found = [*client.failures.matching(FailureFilter(text=TextFilter("mail.EXAMPLE")))]
    assert [failure.args for failure in found] == [(1,)]
    assert not [*client.failures.matching(FailureFilter(host="elsewhere"))]
    assert len([*client.failures.matching(FailureFilter(host="h"))]) == 2
