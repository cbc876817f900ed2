"""A worker's runs in a real server: reserve and settle, whatever things are called."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis as redis_py

from resqued.config.settings import AppSettings
from resqued.errors import StoreError
from resqued.execution.registration import WorkerRegistration
from resqued.store.connection import SingleLink
from resqued.store.runs import FinishedRun, NoJob, SettleOutcome
from resqued.wire import queue_list
from resqued.wire.payload import Reservation
from tests.support.runs import registered

pytestmark = pytest.mark.server_semantics

NAMES = ["plain", "100%", "%d%b%%", "ünïcode", "with space", '"quoted"', "back\\slash"]


@pytest.fixture
def link(redis_url: str) -> Iterator[SingleLink]:
    made = SingleLink(redis_url, timeout=30)
    yield made
    made.close()


@pytest.mark.parametrize("namespace", ["resque", "50%s"])
@pytest.mark.parametrize("queue", NAMES)
def test_a_job_is_reserved_and_settled_whatever_its_queue_is_called(
    link: SingleLink, redis: redis_py.Redis, namespace: str, queue: str
) -> None:
    runs = registered(link, queue, namespace=namespace)
    payload = b'{"class":"Print","args":["%d%%"]}'
    redis.rpush(f"{namespace}:queue:{queue}", payload)
    _, held = runs.reserve()
    assert isinstance(held, Reservation)
    assert (held.queue, held.payload) == (queue, payload)
    answer = runs.reserve(FinishedRun(held.run, b'{"error":"100%"}'))
    assert answer == (SettleOutcome.RECORDED, NoJob.EMPTY)
    assert redis.lrange(f"{namespace}:failed", 0, -1) == [b'{"error":"100%"}']


def test_a_server_that_has_forgotten_the_script_is_told_it_again(
    link: SingleLink, redis: redis_py.Redis
) -> None:
    runs = registered(link, "100%", namespace="resque")
    for _ in range(2):
        redis.script_flush()
        redis.rpush("resque:queue:100%", b'{"class":"Print","args":[]}')
        _, held = runs.reserve()
        assert isinstance(held, Reservation)
        redis.script_flush()
        assert runs.settle(FinishedRun(held.run))[0] is SettleOutcome.RECORDED
    assert redis.get("resque:stat:processed") == b"2"


def test_an_answer_of_the_server_that_is_an_error_is_none_of_the_job(
    link: SingleLink, redis: redis_py.Redis
) -> None:
    runs = registered(link, "q", namespace="resque")
    redis.delete("resque:resqued:workers")
    redis.set("resque:resqued:workers", "no hash")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        runs.reserve()
    redis.delete("resque:resqued:workers")
    assert runs.reserve()[1] is NoJob.UNREGISTERED


def test_a_connection_that_was_cut_is_made_anew(
    link: SingleLink, redis: redis_py.Redis
) -> None:
    runs = registered(link, "q", namespace="resque")
    redis.rpush("resque:queue:q", b'{"class":"Print","args":[]}')
    redis.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(StoreError):
        runs.reserve()
    assert isinstance(runs.reserve()[1], Reservation)


def test_a_job_does_not_run_again_if_the_counter_of_its_worker_is_deleted(
    link: SingleLink, redis: redis_py.Redis
) -> None:
    """As by a script that resets statistics, in the middle of the second run."""
    settings = AppSettings(url="redis://localhost")
    worker = WorkerRegistration(settings, queue_list.parse("q"), link)
    assert worker.register(0.0)
    redis.rpush(
        "resque:queue:q", *(b'{"class":"Print","args":[%d]}' % n for n in (1, 2))
    )
    answer = worker.ask(takes_job=True)
    for _ in range(2):
        assert isinstance(answer, Reservation)
        worker.record_end(answer, None)
        redis.delete(*redis.keys("resque:stat:processed:*"), "unused")
        answer = worker.ask(takes_job=True)
    assert answer is NoJob.EMPTY
    assert redis.get("resque:stat:processed") == b"2"
    assert not redis.exists(f"resque:worker:{worker.runs.worker_id}")
