"""Bulk operations on lists, beside producers and workers, and with callers that die."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import resqued
from resqued.store import bulk, few_elements
from resqued.store.bulk import (
    KEEP,
    REMOVE,
    BulkOperation,
    Decision,
    Side,
    last_of,
)
from resqued.store.connection import Link
from resqued.store.failure_filter import FailureFilter
from resqued.wire import payload
from resqued.wire.keys import Keys
from tests.support.cli import RESQUED, add_failure
from tests.support.daemon import clean_environment
from tests.support.wait import wait_until
from tests.support.watched_link import Death, WatchedLink

pytestmark = pytest.mark.server_semantics

QUEUE = "resque:queue:mail"
FAILED = "resque:failed"
KEYS = Keys("resque")
OWNER = KEYS.bulk_owner("queue:mail")
STAGED = KEYS.bulk_staged("queue:mail")


def job(class_name: str, number: int) -> bytes:
    return json.dumps({"class": class_name, "args": [number]}).encode()


def is_old(raw: bytes) -> bool:
    return b'"Old"' in raw


def judge(raw: bytes) -> Decision:
    return REMOVE if is_old(raw) else KEEP


def logical(redis: Any) -> tuple[list[bytes], int]:
    """Return the elements of the queue in their order, wherever they are.

    And the place of the one that the next worker takes.
    """
    there, staged = redis.lrange(QUEUE, 0, -1), redis.lrange(STAGED, 0, -1)
    state = redis.hget(KEYS.bulk, "queue:mail")
    if state is None:
        assert not staged
        return there, 0
    _, side, mark = state.split(b" ", 2)
    if side == b"tail" and mark in there:
        edge = there.index(mark) + 1
        assert there.count(mark) == 1
        return [e.strip() for e in there[:edge]] + staged + there[edge:], 0
    return staged + there, len(staged)


def missing_ones(before: list[bytes], after: list[bytes]) -> list[bytes]:
    """Return what was taken out of a list; fail if anything else has changed."""
    left = iter(after)
    wanted = next(left, None)
    missing = []
    for element in before:
        if element == wanted:
            wanted = next(left, None)
        else:
            missing.append(element)
    assert wanted is None, "an element is new, or in another place"
    return missing


JOBS = st.lists(st.tuples(st.sampled_from(["Old", "New"]), st.integers(0, 3)))
# What others do before a command: how many jobs they push, how many they take.
OTHERS = st.lists(st.tuples(JOBS.map(lambda jobs: jobs[:3]), st.integers(0, 3)))


class Site:
    """A queue with others at work on it, and the model of what must be in it."""

    def __init__(
        self, redis: Any, others: list[tuple[list[tuple[str, int]], int]]
    ) -> None:
        self.redis = redis
        self.model: list[bytes] = []
        self.gone: list[bytes] = []
        self._others = iter(others)

    def push(self, jobs: list[tuple[str, int]]) -> None:
        texts = [job(*one) for one in jobs]
        if texts:
            self.redis.rpush(QUEUE, *texts)
        self.model += texts

    def look(self) -> None:
        """Compare the queue with the model; take in what was removed from it."""
        now, _ = logical(self.redis)
        missing = missing_ones(self.model, now)
        assert all(map(is_old, missing))
        self.gone += missing
        self.model = now

    def others_act(self) -> None:
        self.look()
        pushed, taken = next(self._others, ([], 0))
        self.push(pushed)
        for _ in range(taken):
            _, place = logical(self.redis)
            raw = self.redis.lpop(QUEUE)
            if raw is None:
                return
            assert raw.strip() == self.model.pop(place)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "CHUNK", 4)
    monkeypatch.setattr(bulk, "FIRST_CHUNK", 2)


@pytest.fixture(params=["one by one", "in bulk"])
def small_pages(
    request: pytest.FixtureRequest, small_chunks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Failures are changed one by one, as few are, or in bulk, as many are."""
    monkeypatch.setattr(few_elements, "FIRST_CHUNK", 2)
    monkeypatch.setattr(few_elements, "_PAGE", 3)
    if request.param == "in bulk":
        monkeypatch.setattr(few_elements, "MOST", 0)


@settings(
    max_examples=60,
    deadline=None,
    # Each example takes a hundred round trips: shrinking would take minutes.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    jobs=JOBS,
    others=OTHERS,
    calls=st.integers(1, 12),
    dies_after_it=st.booleans(),
    is_by_master=st.booleans(),
)
def test_no_job_is_lost_or_overtaken_when_the_caller_dies_at_any_step(
    small_chunks: None,
    redis: Any,
    redis_url: str,
    *,
    jobs: list[tuple[str, int]],
    others: list[tuple[list[tuple[str, int]], int]],
    calls: int,
    dies_after_it: bool,
    is_by_master: bool,
) -> None:
    redis.flushdb()
    site = Site(redis, others)
    site.push(jobs)
    link = WatchedLink(redis_url, site.others_act)
    link.calls_left, link.dies_after_it = calls, dies_after_it
    try:
        last_of(BulkOperation(link, KEYS, QUEUE).run(judge))
    except Death:
        redis.delete(OWNER)  # the lease ends
    link.calls_left = -1
    if is_by_master:
        list(bulk.recover(link, KEYS))
        site.look()
        assert not redis.exists(STAGED, KEYS.bulk, OWNER)
    done = last_of(BulkOperation(link, KEYS, QUEUE).run(judge))
    site.look()
    assert not redis.exists(STAGED, KEYS.bulk, OWNER)
    assert redis.lrange(QUEUE, 0, -1) == site.model
    assert done.changed <= len(site.gone)
    # Without others there is nothing left of the class.
    link.before = lambda: None
    last_of(BulkOperation(link, KEYS, QUEUE).run(judge))
    kept = [raw for raw in site.model if not is_old(raw)]
    assert redis.lrange(QUEUE, 0, -1) == kept


@settings(
    max_examples=40,
    deadline=None,
    # Each example takes a hundred round trips: shrinking would take minutes.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    retried=st.lists(st.booleans(), max_size=20),
    added=st.lists(st.integers(0, 2)),
    calls=st.integers(1, 10),
    dies_after_it=st.booleans(),
)
def test_each_failure_is_retried_once_when_the_caller_dies_at_any_step(
    small_pages: None,
    redis: Any,
    redis_url: str,
    *,
    retried: list[bool],
    added: list[int],
    calls: int,
    dies_after_it: bool,
) -> None:
    redis.flushdb()
    client = resqued.Client(redis_url)
    numbers = iter(range(1_000))
    for is_retried in retried:
        add_failure(redis, next(numbers))
        if is_retried:
            redis.rpush(FAILED, payload.retried(redis.rpop(FAILED), 1.0))
    wanted = [number for number, done in enumerate(retried) if not done]
    adding = iter(added)

    def others_act() -> None:
        for _ in range(next(adding, 0)):
            add_failure(redis, next(numbers))

    link = WatchedLink(redis_url, others_act)
    link.calls_left, link.dies_after_it = calls, dies_after_it
    client.failures._link = link
    try:
        last_of(client.failures.retry_steps(FailureFilter()))
    except Death:
        redis.delete(KEYS.bulk_owner("failed"))
    link.calls_left = -1
    link.before = lambda: None
    last_of(client.failures.retry_steps(FailureFilter()))
    assert not redis.exists(KEYS.bulk, KEYS.bulk_staged("failed"))
    left = [failure.args[0] for failure in client.failures.oldest_first()]
    assert left == list(range(next(numbers)))
    assert all(failure.is_retried for failure in client.failures.oldest_first())
    jobs = [value["args"][0] for value in client.peek("mail", 0, 1_000)]
    assert jobs[: len(wanted)] == wanted
    assert sorted(jobs) == sorted({*jobs})
    assert len(jobs) == len(left) - sum(retried)


def test_no_command_of_a_bulk_operation_reads_or_moves_more_than_a_chunk(
    redis: Any, client: resqued.Client
) -> None:
    fill(redis, 20_000)
    redis.config_set("slowlog-log-slower-than", 0)
    redis.config_set("slowlog-max-len", 100_000)
    redis.slowlog_reset()
    redis.config_resetstat()
    try:
        assert client.dequeue("Old", queue="mail") == 10_000
        commands = redis.info("commandstats")
    finally:
        redis.config_set("slowlog-log-slower-than", 10_000)
        redis.config_set("slowlog-max-len", 128)
    # LREM looks through the whole list.
    assert "cmdstat_lrem" not in commands
    calls = commands["cmdstat_evalsha"]["calls"]
    # A busy server has smaller steps, but not one for each job.
    assert 20_000 / bulk.CHUNK <= calls <= 2_000
    assert client.size("mail") == 10_000


def fill(redis: Any, count: int) -> None:
    pipe = redis.pipeline(transaction=False)
    for first in range(0, count, 1_000):
        names = ("Old", "New")
        pipe.rpush(QUEUE, *(job(names[n % 2], n) for n in range(first, first + 1_000)))
    pipe.execute()


def test_an_operation_that_is_stopped_in_the_middle_leaves_the_rest(
    redis: Any, redis_url: str
) -> None:
    fill(redis, 6_000)
    steps = BulkOperation(Link(redis_url), KEYS, QUEUE).run(judge)
    for progress in steps:
        assert progress.total == 6_000
        if progress.judged > 2_000:
            break
    # Workers continue with the oldest, producers at the end.
    assert json.loads(redis.lpop(QUEUE))["args"] == [0]
    redis.rpush(QUEUE, job("New", 6_000))
    steps.close()
    assert not redis.exists(STAGED, KEYS.bulk, OWNER)
    numbers = [json.loads(raw)["args"][0] for raw in redis.lrange(QUEUE, 0, -1)]
    assert numbers == sorted(numbers)
    assert len(numbers) == 6_000 - progress.changed
    assert progress.changed == progress.judged // 2


def test_of_two_operations_on_a_list_one_waits(
    redis: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(redis, 3_000)
    steps = BulkOperation(Link(redis_url), KEYS, QUEUE).run(judge)
    next(steps)
    other = BulkOperation(Link(redis_url), KEYS, QUEUE)
    monkeypatch.setattr(bulk, "PATIENCE", 0.2)
    with pytest.raises(resqued.StoreError, match="another operation works on"):
        last_of(other.run(judge))
    assert last_of(steps).changed == 1_500


def test_an_operation_that_was_taken_for_dead_starts_over(
    redis: Any, redis_url: str
) -> None:
    fill(redis, 3_000)
    steps = BulkOperation(Link(redis_url), KEYS, QUEUE).run(judge)
    changed = next(steps).changed
    redis.delete(OWNER)
    assert "queue:mail" in bulk.recover(Link(redis_url), KEYS)
    assert last_of(steps).changed == 1_500
    assert changed < 1_500


def test_a_queue_that_is_removed_meanwhile_stays_removed(
    redis: Any, client: resqued.Client
) -> None:
    fill(redis, 3_000)
    steps: Iterator[bulk.BulkProgress] = client._queues.dequeue_steps("mail", "Old")
    assert next(steps).changed == 50
    assert client.remove_queue("mail") == 2_950
    last_of(steps)
    assert not redis.exists(QUEUE, STAGED, KEYS.bulk, OWNER)


def test_a_retry_onto_a_key_that_is_no_list_leaves_the_failure(
    redis: Any, client: resqued.Client
) -> None:
    add_failure(redis, 1, queue="odd")
    add_failure(redis, 2)
    redis.set("resque:queue:odd", "text")
    done = last_of(client.failures.retry_steps(FailureFilter()))
    assert (done.changed, done.left_out) == (1, 1)
    assert done.problem == "the key of its queue is no list"
    marks = [failure.is_retried for failure in client.failures.oldest_first()]
    assert marks == [False, True]


def test_failures_are_removed_from_a_server_that_is_full(
    redis: Any, client: resqued.Client
) -> None:
    for number in range(500):
        add_failure(redis, number, class_name="AB"[number % 2])
    redis.config_set("maxmemory", 1)
    try:
        done = last_of(client.failures.remove_steps(FailureFilter(class_name="A")))
    finally:
        redis.config_set("maxmemory", 0)
    assert done.changed == 250
    assert [f.args[0] for f in client.failures.oldest_first()] == [*range(1, 500, 2)]


def test_a_worker_can_run_the_job_with_the_mark(
    redis: Any, client: resqued.Client
) -> None:
    fill(redis, 1_000)
    steps = client._queues.dequeue_steps("mail", "Old")
    next(steps)
    marked = redis.lindex(QUEUE, -1)
    assert marked != marked.strip()
    while redis.lindex(QUEUE, 0) != marked:
        redis.lpop(QUEUE)
    taken = client.reserve("mail")
    assert taken is not None
    assert (taken.class_name, taken.args) == ("New", (899,))
    # Those that were looked at come next, whatever was pushed behind the mark.
    redis.rpush(QUEUE, job("New", 1_000))
    last_of(steps)
    numbers = [json.loads(raw)["args"][0] for raw in redis.lrange(QUEUE, 0, -1)]
    assert numbers == [*range(901, 1_000, 2), 1_000]


def test_nothing_is_lost_when_more_is_pushed_between_two_steps_than_one_can_move(
    redis: Any, client: resqued.Client
) -> None:
    fill(redis, 3_000)
    steps = client._queues.dequeue_steps("mail", "Old")
    removed = next(steps).changed + next(steps).changed - 50
    redis.rpush(QUEUE, *(job("New", n) for n in range(3_000, 9_000)))
    assert last_of(steps).changed == 1_500
    assert removed < 1_500
    numbers = [json.loads(raw)["args"][0] for raw in redis.lrange(QUEUE, 0, -1)]
    assert sorted(numbers) == [*range(1, 3_000, 2), *range(3_000, 9_000)]


def test_a_retry_that_is_killed_is_finished_by_the_next(
    redis: Any, redis_url: str, client: resqued.Client
) -> None:
    for number in range(4_000):
        add_failure(redis, number)
    staged, owner = KEYS.bulk_staged("failed"), KEYS.bulk_owner("failed")
    command = [*RESQUED, "failed", "retry", "--all"]
    env = {**clean_environment(), "REDIS_URL": redis_url}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL) as retry:
        wait_until(lambda: redis.llen(staged) > 0, what="the first failures be retried")
        retry.kill()
    assert redis.exists(KEYS.bulk), "it had finished before it was killed"
    redis.delete(owner)  # as its TTL does
    last_of(client.failures.retry_steps(FailureFilter()))
    assert not redis.exists(staged, owner, KEYS.bulk)
    jobs = [value["args"][0] for value in client.peek("mail", 0, 9_000)]
    assert jobs == list(range(4_000))
    assert [f.args[0] for f in client.failures.oldest_first()] == jobs
    assert all(failure.is_retried for failure in client.failures.oldest_first())


@pytest.mark.parametrize(
    ("spent", "size", "following"),
    [
        # A server without a clock for scripts says 0.
        (0, 100, 200),
        (bulk.STEP_TIME, 100, 200),
        (2 * bulk.STEP_TIME, 100, 50),
        (100 * bulk.STEP_TIME, 400, 4),
    ],
)
def test_the_size_of_a_step_follows_the_processor_time_of_the_server(
    client: resqued.Client, *, spent: int, size: int, following: int
) -> None:
    operation = BulkOperation(client.registry.link, KEYS, FAILED, "head")
    operation._spent = spent
    assert operation._next_size(size) == following


@pytest.mark.parametrize("side", ["head", "tail"])
def test_no_step_reads_more_than_a_few_of_large_elements(
    redis: Any, client: resqued.Client, side: Side
) -> None:
    """A list whose elements grow: the size that was fitting is not any more."""
    small, large = b"1", b'"' + b"x" * 40_000 + b'"'
    elements = [small] * 2_000 + [large] * 200
    if side == "tail":
        elements.reverse()
    redis.rpush(QUEUE, *elements)
    read = []

    def keep(element: bytes) -> Decision:
        read.append(element)
        return KEEP

    operation = BulkOperation(client.registry.link, KEYS, QUEUE, side)
    sizes = []
    for _ in operation.run(keep):
        sizes.append(sum(map(len, read)))
        read.clear()
    assert redis.lrange(QUEUE, 0, -1) == elements
    assert max(sizes) < bulk.CHUNK_BYTES + 16 * len(large)


def test_no_restore_moves_more_than_a_few_large_elements(
    redis: Any, client: resqued.Client
) -> None:
    large = [b"%d" % number + b"x" * 40_000 for number in range(200)]
    redis.rpush(QUEUE, *large)
    operation = BulkOperation(client.registry.link, KEYS, QUEUE, "head")
    steps = operation.run(judge)
    for _ in range(6):
        next(steps)
    assert redis.llen(STAGED)
    # Without an end of the caller, who has died.
    operation.restore = lambda: False  # type: ignore[method-assign]
    steps.close()
    redis.delete(OWNER)
    staged = redis.llen(STAGED)
    moves = len([*bulk.recover(client.registry.link, KEYS)])
    assert redis.lrange(QUEUE, 0, -1) == large
    # The shorter one of the two lists is moved.
    moved = min(staged, 200 - staged)
    assert moves >= moved * 40_000 // (bulk.CHUNK_BYTES + 40_000)
