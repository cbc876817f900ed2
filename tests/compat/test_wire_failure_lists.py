"""Wire cases of the back end redis_multi_queue: a list of failures for each queue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.compat.dump import holds
from tests.compat.wire import BOOM_1, Case, deviates, entry

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.server_semantics

BOOM = (
    b'{"failed_at":"2026/11/23 00:00:00 UTC","payload":{"class":"Boom","args":[1]}'
    b',"exception":"E","error":"m","backtrace":[],"worker":"h:1:default"'
    b',"queue":"default"}'
)
LATER = BOOM.replace(b"00:00:00", b"00:00:05")
MAIL = BOOM.replace(b"00:00:00", b"00:00:03").replace(b'"default"}', b'"mail"}')


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


@pytest.fixture
def filled(case: Case) -> Case:
    """One failure in `failed`, and some in lists of two queues."""
    case.redis.sadd("resque:failed_queues", "default_failed", "mail_failed")
    case.redis.rpush("resque:default_failed", BOOM)
    case.redis.rpush("resque:mail_failed", MAIL)
    case.redis.rpush("resque:failed", LATER)
    return case


@pytest.mark.parametrize(
    "options", [{"FAILURE_BACKEND": "redis_multi_queue"}, {}], ids=["ruby", "file"]
)
@deviates("prune-lock", "identity", "names")
def test_each_queue_has_its_list(case: Case, options: dict[str, str]) -> None:
    case.push("default", BOOM_1)
    case.push("mail", BOOM_1)
    file = case.configure('[failure]\nbackends = ["redis_multi_queue"]\n')
    args = () if options else file
    with case.daemon("default,mail", *args, "--burst", env=options) as daemon:
        assert daemon.wait() == 0
        case.know(daemon)
    found = case.dump()
    fault = ("ValueError", "bad thing", "<BT>")
    for queue in ("default", "mail"):
        one = entry(BOOM_1.decode(), *fault, worker="<me>:default,mail", queue=queue)
        assert found.pop(f"resque:{queue}_failed") == f"list:\n[0] {one}"
    assert found == holds("""
        resque:failed_queues = set {default_failed | mail_failed}
        resque:queues = set {default | mail}
        resque:stat:failed = string 2
        resque:stat:processed = string 2
    """)


def test_a_retry_writes_the_time_without_a_zone(case: Case) -> None:
    case.redis.sadd("resque:failed_queues", "default_failed")
    case.redis.rpush("resque:default_failed", BOOM)
    (failure,) = case.client.failures.page()
    assert case.client.failures.retry(failure)
    marked = BOOM.decode()[:-1] + ',"retried_at":"<F-nozone>"}'
    assert case.dump() == holds(f"""
        resque:default_failed = list:
          [0] {marked}
        resque:failed_queues = set {{default_failed}}
        resque:queue:default = list:
          [0] {{"class":"Boom","args":[1]}}
        resque:queues = set {{default}}
    """)
    assert case.client.failures.page()[0].retried_at is not None
    assert case.client.failures.clear_retried() == 1


def test_clear_deletes_the_lists_and_keeps_the_names(case: Case) -> None:
    case.redis.sadd("resque:failed_queues", "default_failed")
    case.redis.rpush("resque:default_failed", "x")
    assert case.client.failures.clear() == 1
    assert case.dump() == {"resque:failed_queues": "set {default_failed}"}


def test_failures_of_all_lists_are_one_page_by_time(filled: Case) -> None:
    failures = filled.client.failures
    assert [f.entry for f in failures.page()] == [LATER, MAIL, BOOM]
    assert [f.entry for f in failures.page(1, 1)] == [MAIL]
    assert [f.entry for f in failures.oldest_first()] == [BOOM, MAIL, LATER]
    assert [f.entry for f in failures.page(list_name="mail_failed")] == [MAIL]
    assert failures.counts() == {"failed": 1, "default_failed": 1, "mail_failed": 1}
    assert filled.client.info().failures == 3
    assert failures.remove(failures.page()[1])
    assert filled.redis.llen("resque:mail_failed") == 0


def test_commands_know_the_lists(filled: Case) -> None:
    _, said = filled.command("failed", "list", "--queue", "mail", "--json")
    (mail,) = json.loads(said)
    assert mail["queue"] == "mail"
    code, said = filled.command("failed", "show", mail["id"])
    assert code == 0, said
    code, said = filled.command("failed", "retry", "--all", "--queue", "mail")
    assert (code, said) == (0, "retried 1 failure\n")
    assert filled.redis.lrange("resque:queue:mail", 0, -1) == [BOOM_1]
    code, said = filled.command("failed", "remove", "--all", "--class", "Boom", "-y")
    assert (code, said) == (0, "removed 3 failures\n")


@deviates("prune-lock", "identity", "names")
def test_a_list_that_is_none_takes_no_failure_away(case: Case) -> None:
    case.redis.set("resque:default_failed", "somebody else's")
    case.push("default", BOOM_1)
    case.work(*case.configure('[failure]\nbackends = ["redis_multi_queue"]\n'))
    assert case.redis.llen("resque:resqued:failed") == 1


def test_a_wrong_back_end_is_a_configuration_error(case: Case) -> None:
    file = case.configure('[failure]\nbackends = ["sentri"]\n')
    with case.daemon(*file) as daemon:
        assert daemon.wait() == 78
        assert "sentry" in daemon.log()
