"""Wire cases of resque-retry (8.2)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.compat.dump import holds
from tests.compat.wire import BOOM_1, OK_1, Case, deviates

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.server_semantics

SHA_1 = "356a192b7913b04c54574d18c28d46e6395428ab"
RULES = """
[retry]
record = "{record}"
[retry.class.Boom]
delay = "1h"
jitter = 0
[retry.class.Ok]
"""


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


def work(case: Case, payload: bytes, *, record: str = "last") -> dict[str, str]:
    """Run a job; return what is there then, with `<T>` for the time it is due."""
    case.push("default", payload)
    case.work(*case.configure(RULES.format(record=record)))
    times = case.redis.zrange("resque:delayed_queue_schedule", 0, -1)
    found = case.dump()
    for time in times:
        found = {
            key.replace(time.decode(), "<T>"): value.replace(time.decode(), "<T>")
            for key, value in found.items()
        }
    found.pop("resque:resqued:scheduler", None)
    # How long counters are kept is ours.
    return {key: value.partition(" (TTL")[0] for key, value in found.items()}


WAITS = f"""
    resque:delayed:<T> = list:
      [0] {{"class":"Boom","args":[1],"queue":"default"}}
    resque:delayed_queue_schedule = zset {{<T>=<T>}}
    resque:timestamps:{{"class":"Boom","args":[1],"queue":"default"}} = set \
{{delayed:<T>}}
    resque:queues = set {{default}}
    resque:resque-retry:Boom:{SHA_1} = string 0
    resque:stat:failed = string 1
    resque:stat:processed = string 1
"""


def test_a_first_attempt_that_fails_waits_for_the_next_one(case: Case) -> None:
    found = work(case, BOOM_1, record="all")
    assert found.pop("resque:failed").startswith(
        'list:\n[0] {"failed_at":"<F>","payload":{"class":"Boom","args":[1]}'
        ',"exception":"ValueError","error":"bad thing","backtrace":<BT>'
        ',"worker":"<me>:default","queue":"default"}'
    )
    assert found == holds(WAITS)


@deviates("retry-counts")
def test_an_attempt_that_another_follows_is_not_in_the_failed_list(case: Case) -> None:
    found = work(case, BOOM_1)
    entry = found.pop(f"resque:failure-resque-retry:Boom:{SHA_1}")
    assert '"payload":{"class":"Boom","args":[1]}' in entry
    assert found == holds(WAITS)


def test_a_success_after_a_retry_removes_the_counter(case: Case) -> None:
    case.redis.set(f"resque:resque-retry:Ok:{SHA_1}", 0)
    assert work(case, OK_1) == holds("""
        resque:queues = set {default}
        resque:stat:processed = string 1
    """)


def test_attempts_that_ruby_has_counted_count(case: Case) -> None:
    case.redis.set(f"resque:resque-retry:Boom:{SHA_1}", 2)
    found = work(case, BOOM_1)
    assert '"queue":"default","attempt":4}' in found["resque:failed"]
    assert not [key for key in found if "retry" in key or "delayed" in key]


@deviates("long-retries")
def test_attempts_of_a_long_payload_are_counted_by_its_text(case: Case) -> None:
    payload = b'{"class":"Boom","args":["%b"]}' % (b"x" * (64 << 10))
    digest = hashlib.sha1(payload, usedforsecurity=False).hexdigest()
    assert work(case, payload)[f"resque:resque-retry:Boom:{digest}"] == "string 0"
