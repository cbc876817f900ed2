"""Wire cases of the library: enqueue, dequeue, reserve, and what they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resqued import ArgumentError, Client, JobClassError, PayloadError, QueueNameError
from tests.compat import jobs
from tests.compat.dump import holds
from tests.compat.wire import OK_1, Case, deviates

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.server_semantics


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


def test_enqueue_adds_the_name_to_the_set_and_the_job_at_the_tail(
    case: Case,
) -> None:
    assert case.client.enqueue(jobs.Ok, 1, "two", {"k": [None, True]}) is True
    assert case.client.enqueue(jobs.Ok, 2) is True
    assert case.dump() == holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[1,"two",{"k":[null,true]}]}
          [1] {"class":"Ok","args":[2]}
        resque:queues = set {default}
    """)


def test_enqueue_without_arguments_writes_an_empty_list(case: Case) -> None:
    assert case.client.enqueue(jobs.Ok) is True
    assert case.dump() == holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[]}
        resque:queues = set {default}
    """)


def test_enqueue_to_overrides_the_queue(case: Case) -> None:
    assert case.client.enqueue_to("other", jobs.Ok, 7) is True
    assert case.dump() == holds("""
        resque:queue:other = list:
          [0] {"class":"Ok","args":[7]}
        resque:queues = set {other}
    """)


def test_a_class_of_another_language_is_enqueued_by_its_name(case: Case) -> None:
    assert case.client.enqueue_to("other", "Nest::In", 7) is True
    assert case.dump() == holds("""
        resque:queue:other = list:
          [0] {"class":"Nest::In","args":[7]}
        resque:queues = set {other}
    """)


def test_special_characters_are_written_raw(case: Case) -> None:
    assert case.client.enqueue(jobs.Ok, "é☃/<&>\u2028") is True
    assert case.dump() == holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":["é☃/<&>⟨U+2028⟩"]}
        resque:queues = set {default}
    """)


@deviates("names")
def test_an_empty_class_or_queue_name_is_refused(case: Case) -> None:
    with pytest.raises(JobClassError, match="a job must be given a class"):
        case.client.enqueue_to("q", "")
    with pytest.raises(JobClassError, match="a job must be placed onto a queue"):
        case.client.enqueue_to("", jobs.Ok)
    assert case.dump() == {}


def test_inline_mode_writes_nothing(case: Case) -> None:
    with_inline = Client(case.url, inline=True)
    assert with_inline.enqueue(jobs.Ok, 1) is True
    assert case.dump() == {}


# In this order: six of class Ok in every form that JSON allows, one of another.
MIXED = (
    OK_1,
    b'{"class":"Ok","args":[2]}',
    OK_1,
    b'{"class": "Ok", "args": [1]}',
    b'{"args":[1],"class":"Ok"}',
    b'{"class":"Ok","args":[1],"id":"x"}',
    b'{"class":"Boom","args":[1]}',
)


def test_dequeue_without_arguments_removes_all_of_the_class(case: Case) -> None:
    case.push("default", *MIXED)
    assert case.client.dequeue(jobs.Ok) == 6
    assert case.dump() == holds("""
        resque:queue:default = list:
          [0] {"class":"Boom","args":[1]}
        resque:queues = set {default}
    """)


@deviates("dequeue-in-batches")
def test_dequeue_searches_a_long_queue_in_batches(case: Case) -> None:
    case.push("default", *MIXED * 300, b"{nope", b"null")
    assert case.client.dequeue(jobs.Ok) == 1800
    left = case.redis.lrange("resque:queue:default", 0, -1)
    assert left == [MIXED[-1]] * 300 + [b"{nope", b"null"]


def test_dequeue_with_arguments_compares_bytes(case: Case) -> None:
    case.push("default", *MIXED)
    assert case.client.dequeue(jobs.Ok, 1) == 2
    assert case.redis.lrange("resque:queue:default", 0, -1) == [MIXED[1], *MIXED[3:]]


def test_dequeue_of_the_last_job_leaves_the_name_of_the_queue(case: Case) -> None:
    case.push("default", OK_1)
    assert case.client.dequeue(jobs.Ok, 1) == 1
    assert case.dump() == {"resque:queues": "set {default}"}


def test_reserve_takes_from_the_head_and_writes_nothing(case: Case) -> None:
    case.push("default", OK_1, b'{"class":"Ok","args":[2]}')
    job = case.client.reserve("default")
    assert job is not None
    assert (job.class_name, job.args) == ("Ok", (1,))
    assert case.dump() == holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[2]}
        resque:queues = set {default}
    """)


def test_reserve_on_an_empty_or_unknown_queue_finds_nothing(case: Case) -> None:
    case.redis.sadd("resque:queues", "default")
    assert case.client.reserve("default") is None
    assert case.client.reserve("unknown") is None
    assert case.dump() == {"resque:queues": "set {default}"}


@deviates("malformed")
def test_reserve_tells_an_element_that_is_no_job(case: Case) -> None:
    case.push("default", b"{nope", b"null")
    for _ in range(2):
        with pytest.raises(PayloadError):
            case.client.reserve("default")
    assert case.dump() == {"resque:queues": "set {default}"}


@deviates("refused-arguments")
@pytest.mark.parametrize("value", [float("nan"), {1: 2}, b"x", "\ud83d"])
def test_what_ruby_could_not_read_is_never_written(case: Case, value: object) -> None:
    with pytest.raises(ArgumentError, match="Ok: argument 2"):
        case.client.enqueue(jobs.Ok, 1, value)
    assert case.dump() == {}


@deviates("queue-names")
@pytest.mark.parametrize("queue", ["a,b", "a*", "!a"])
def test_a_queue_that_no_list_can_name_is_read_and_not_written(
    case: Case, queue: str
) -> None:
    with pytest.raises(QueueNameError, match="cannot be named"):
        case.client.enqueue_to(queue, jobs.Ok, 1)
    assert case.dump() == {}
    case.push(queue, OK_1, OK_1, OK_1)
    assert (case.client.size(queue), len(case.client.peek(queue))) == (3, 1)
    assert case.client.reserve(queue)
    assert case.client.dequeue(jobs.Ok, 1, queue=queue) == 2
    assert case.client.remove_queue(queue) == 0


class NoPerform:
    queue = "default"


@deviates("no-perform")
def test_a_class_without_perform_is_enqueued_by_its_name(case: Case) -> None:
    with pytest.raises(JobClassError, match="has no perform"):
        case.client.enqueue(NoPerform, 1)  # type: ignore[arg-type]
    assert case.dump() == {}
    assert case.client.enqueue_to("default", "NoPerform", 1)
    assert case.client.size("default") == 1


@deviates("argument-count")
def test_arguments_that_do_not_fit_the_job_are_never_written(case: Case) -> None:
    with pytest.raises(ArgumentError, match="too many positional arguments"):
        case.client.enqueue(jobs.Long, 1)  # type: ignore[call-arg]
    assert case.dump() == {}
    assert case.client.enqueue_to("other", "Long", 1)
    assert case.dump() == holds("""
        resque:queue:other = list:
          [0] {"class":"Long","args":[1]}
        resque:queues = set {other}
    """)


@deviates("too-deep")
def test_arguments_are_refused_that_ruby_would_find_too_deep(case: Case) -> None:
    deepest: object = 1
    for _ in range(97):
        deepest = [deepest]
    assert case.client.enqueue(jobs.Ok, deepest)
    with pytest.raises(ArgumentError, match="argument 1 is nested too deep"):
        case.client.enqueue(jobs.Ok, [deepest])
    assert case.client.size("default") == 1
