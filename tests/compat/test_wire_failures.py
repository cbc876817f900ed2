"""Wire cases of the list of failures: retry, remove, clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resqued import Client, Failure, PayloadError
from resqued.store import failures as store
from tests.compat.dump import holds
from tests.compat.wire import Case, deviates

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.server_semantics

# A failure of queue `default` with a key of its own in the payload, and one of
# queue `mail`; neither was retried.
BOOM = (
    b'{"failed_at":"2026/11/23 00:00:00 UTC"'
    b',"payload":{"class":"Boom","args":[1],"id":"z"},"exception":"E","error":"m"'
    b',"backtrace":[],"worker":"h:1:default","queue":"default"}'
)
MAIL = (
    b'{"failed_at":"2026/11/23 00:00:01 UTC","payload":{"class":"Ok","args":[2]}'
    b',"exception":"E","error":"m","backtrace":[],"worker":"h:1:default"'
    b',"queue":"mail"}'
)
RETRIED = b',"retried_at":"<F>"}'


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    redis.rpush("resque:failed", BOOM, MAIL)
    return Case(redis, redis_url, tmp_path)


@pytest.fixture
def client(case: Case) -> Client:
    return case.client


def listed(*entries: bytes) -> dict[str, str]:
    """Return the list of failures as a dump holds it."""
    lines = [f"[{index}] {entry.decode()}" for index, entry in enumerate(entries)]
    return {"resque:failed": "\n".join(["list:", *lines])}


def newest(client: Client) -> Failure:
    return client.failures.page()[0]


@deviates("failure-by-content")
def test_a_retried_failure_is_retried_again_once_it_is_read_again(
    case: Case, client: Client
) -> None:
    seen = newest(client)
    assert client.failures.retry(seen) is True
    # Ruby goes by the index: who clicks the same line twice runs the job twice.
    # Here what was seen is gone, for it is marked now; one has to look again.
    assert client.failures.retry(seen) is False
    assert client.failures.retry(newest(client)) is True
    assert case.dump() == listed(BOOM, MAIL[:-1] + RETRIED) | holds("""
        resque:queue:mail = list:
          [0] {"class":"Ok","args":[2]}
          [1] {"class":"Ok","args":[2]}
        resque:queues = set {mail}
    """)


@deviates("failure-by-content")
def test_a_failure_that_is_gone_is_not_retried(case: Case, client: Client) -> None:
    gone = Failure(BOOM.replace(b"00:00:00", b"00:00:09"))
    assert client.failures.retry(gone) is False
    assert case.dump() == listed(BOOM, MAIL)


@deviates("failure-by-content")
def test_a_failure_that_is_gone_is_not_removed(case: Case, client: Client) -> None:
    seen = newest(client)
    assert client.failures.remove(seen) is True
    assert client.failures.remove(seen) is False
    assert case.dump() == listed(BOOM)


def test_the_failures_of_one_queue_are_retried(case: Case, client: Client) -> None:
    for failure in client.failures.oldest_first():
        if failure.queue == "mail":
            assert client.failures.retry(failure)
    assert case.dump() == listed(BOOM, MAIL[:-1] + RETRIED) | holds("""
        resque:queue:mail = list:
          [0] {"class":"Ok","args":[2]}
        resque:queues = set {mail}
    """)


def test_all_failures_are_retried_and_the_retried_ones_cleared(
    case: Case, client: Client
) -> None:
    assert all(map(client.failures.retry, client.failures.oldest_first()))
    assert case.dump() == listed(BOOM[:-1] + RETRIED, MAIL[:-1] + RETRIED) | (
        retried := holds("""
            resque:queue:default = list:
              [0] {"class":"Boom","args":[1]}
            resque:queue:mail = list:
              [0] {"class":"Ok","args":[2]}
            resque:queues = set {default | mail}
        """)
    )
    assert client.failures.clear_retried() == 2
    assert case.dump() == retried


@deviates("retry-all")
def test_retry_all_leaves_out_what_was_retried_before(case: Case) -> None:
    for _ in range(2):
        code, said = case.command("failed", "retry", "--all")
        assert code == 0, said
    assert case.dump() == listed(BOOM[:-1] + RETRIED, MAIL[:-1] + RETRIED) | holds("""
        resque:queue:default = list:
          [0] {"class":"Boom","args":[1]}
        resque:queue:mail = list:
          [0] {"class":"Ok","args":[2]}
        resque:queues = set {default | mail}
    """)


def test_equal_failures_are_cleared_on_every_page(case: Case, client: Client) -> None:
    retried = MAIL[:-1] + b',"retried_at":"2026/11/23 00:00:02 UTC"}'
    case.redis.rpush("resque:failed", retried, *[BOOM] * store.PAGE, retried)
    assert client.failures.clear_retried() == 2
    left = case.redis.lrange("resque:failed", 0, -1)
    assert left == [BOOM, MAIL, *[BOOM] * store.PAGE]


@deviates("clear-count")
def test_clear_removes_all_failures_and_answers_how_many(
    case: Case, client: Client
) -> None:
    assert client.failures.clear() == 2
    assert case.dump() == {}
    assert client.failures.clear() == 0


@deviates("no-job-no-retry")
@pytest.mark.parametrize(
    "payload", [b"null", b'"{nope"', b"[1]", b'{"args":[]}', b'{"class":""}']
)
def test_a_failure_without_a_job_is_not_retried(case: Case, payload: bytes) -> None:
    failure = Failure(BOOM.replace(b'{"class":"Boom","args":[1],"id":"z"}', payload))
    case.redis.rpush("resque:failed", failure.entry)
    with pytest.raises(PayloadError, match="nothing to retry"):
        case.client.failures.retry(failure)
    assert case.dump() == listed(BOOM, MAIL, failure.entry)


def test_failures_of_node_are_retried_as_ruby_retries_them(case: Case) -> None:
    node = (
        b'{"worker":"h:1","queue":"mail","payload":{"class":"Ok","queue":"mail"'
        b',"args":[1.0]},"exception":"TypeError","error":"bad thing","backtrace":'
        b'["    at one"],"failed_at":"Mon Nov 23 2026 12:01:44 GMT+0000"}'
    )
    case.redis.delete("resque:failed")
    case.redis.rpush("resque:failed", node)
    assert case.client.failures.retry(Failure(node))
    marked = node.replace(b'["    at one"]', b"<BT>")[:-1] + RETRIED
    assert case.dump() == listed(marked) | holds("""
        resque:queue:mail = list:
          [0] {"class":"Ok","args":[1.0]}
        resque:queues = set {mail}
    """)


def test_a_failure_is_found_by_the_beginning_of_its_id(client: Client) -> None:
    seen = newest(client)
    assert client.failures.find(seen.id[:6]) == seen
    assert client.failures.find("") is None
    assert client.failures.find("no such id") is None
