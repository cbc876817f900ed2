"""Jobs that are tried again: how often, after what, and what Redis holds meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import redis as redis_py

import resqued
from tests.support import retried
from tests.support.asking import ask, running
from tests.support.daemon import Daemon
from tests.support.pool import count, failures, left_over, pool, runs
from tests.support.wait import wait_until

OWN = {b"attempts", b"exhausted"}


def work(url: str, tmp_path: Path, config: str = "", *args: str) -> Daemon:
    return pool(
        url, tmp_path, "-a", "tests.support.retried", "--burst", *args, config=config
    )


def finish(daemon: Daemon) -> None:
    with daemon:
        assert daemon.wait() == 0, daemon.log()


def attempts(redis: redis_py.Redis) -> list[str]:
    return [text.decode() for text in redis.lrange("attempts", 0, -1)]


def test_a_job_is_tried_until_it_succeeds_and_leaves_nothing(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    client.enqueue(retried.flaky, 1, 3)
    daemon = work(redis_url, tmp_path)
    finish(daemon)
    assert attempts(redis) == ["1 1", "1 2", "1 3"]
    assert [e["attempt"] for e in daemon.events("retry_scheduled")] == [2, 3]
    assert runs(redis) == {"1": 1}
    assert not failures(redis)
    assert (count(redis, "processed"), count(redis, "failed")) == (3, 2)
    assert left_over(redis) <= OWN


def test_the_last_attempt_is_in_the_failed_list_with_its_number(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    client.enqueue(retried.flaky, 1, 99)
    finish(work(redis_url, tmp_path))
    assert attempts(redis) == [f"1 {n}" for n in range(1, 6)]
    (failure,) = client.failures.page()
    assert (failure.attempt, failure.error) == (5, "attempt 5")
    assert left_over(redis) <= OWN


def test_only_wanted_exceptions_are_tried_again_and_the_end_is_reported(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    for kind in ("reset", "pipe", "value"):
        client.enqueue(retried.doomed, kind)
    finish(work(redis_url, tmp_path))
    assert sorted(attempts(redis)) == [
        *("pipe 1", "reset 1", "reset 2", "reset 3", "value 1")
    ]
    assert sorted(redis.lrange("exhausted", 0, -1)) == [
        b"BrokenPipeError 1 ('pipe',)",
        b"ConnectionResetError 3 ('reset',)",
        b"ValueError 1 ('value',)",
    ]
    assert len(failures(redis)) == 3


def test_deaths_and_limits_are_tried_again_if_asked_for(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    client.enqueue(retried.dying, "kill")
    client.enqueue(retried.dying.limited(timeout="300ms"), "sleep")
    finish(work(redis_url, tmp_path, "[limits]\ngrace = '100ms'\n"))
    assert sorted(attempts(redis)) == [
        f"{kind} {n}" for kind in ("kill", "sleep") for n in (1, 2, 3)
    ]
    assert sorted(redis.lrange("exhausted", 0, -1)) == [
        b"DirtyExit 3 ('kill',)",
        b"JobTimeout 3 ('sleep',)",
    ]
    assert {f["exception"] for f in failures(redis)} == {
        "Resque::DirtyExit",
        "JobTimeout",
    }


def test_a_function_and_a_class_attribute_declare_retries_too(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    client.enqueue(retried.own, 1)
    client.enqueue(retried.OfClass, 2)
    client.enqueue(retried.by_hand_twice, 3)
    finish(work(redis_url, tmp_path))
    assert sorted(attempts(redis)) == ["1 1", "1 2", "1 3", "2 1", "2 2", "3", "3"]
    assert len(failures(redis)) == 3


def test_the_configuration_declares_retries_for_a_class_and_a_queue(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    client.enqueue(retried.plain, 1)
    client.enqueue_to("low", retried.plain, 2)
    config = """
        [retry]
        record = "all"
        [retry.queue.low]
        times = 1
        delay = 0
        on = ["ValueError"]
    """
    finish(
        pool(
            redis_url,
            tmp_path,
            *("-a", "tests.support.retried", "--burst"),
            queues="default,low",
            config=config,
        )
    )
    assert sorted(attempts(redis)) == ["1 1", "2 1", "2 2"]
    assert [f.get("attempt") for f in failures(redis)] == [None, None, 2]


def test_what_waits_is_what_resque_retry_and_resque_scheduler_know(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    client.enqueue(retried.waits, 1)
    client.enqueue(retried.by_hand, 1)
    finish(work(redis_url, tmp_path))
    digest = "356a192b7913b04c54574d18c28d46e6395428ab"
    for name in ("Waits", "ByHand"):
        assert redis.get(f"resque:resque-retry:{name}:{digest}") == b"0"
        entry = redis.get(f"resque:failure-resque-retry:{name}:{digest}")
        assert json.loads(entry)["payload"] == {"class": name, "args": [1]}
    assert not failures(redis)
    assert {job.item for job in client.delayed} == {
        b'{"class":"Waits","args":[1],"queue":"default"}',
        b'{"class":"ByHand","args":[1],"queue":"default"}',
    }
    hour = 3600
    now = redis.time()[0]
    for job in client.delayed:
        assert now + hour * 0.8 < int(job.time) < now + hour * 1.2


def test_a_job_whose_worker_dies_is_put_back_if_it_says_so(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """By the code, or for a queue; as often as its retry says, or three times."""
    client = resqued.Client(redis_url)
    client.enqueue(retried.lethal, 1, 3)
    client.enqueue(retried.lethal, 2, 99)
    client.enqueue(retried.lethal_twice, 3, 99)
    client.enqueue(retried.lethal_by_queue, 4, 2)
    with pool(
        redis_url,
        tmp_path,
        *("-a", "tests.support.retried"),
        queues="default,low",
        config="[retry.queue.low]\non_worker_death = 'requeue'\n",
    ):
        wait_until(
            lambda: len(failures(redis)) == 2 and len(runs(redis)) == 2,
            what="two jobs to be done and two to have failed",
        )
    told = attempts(redis)
    assert [text for text in told if text[0] == "1"] == ["1 1", "1 2", "1 3"]
    assert [text for text in told if text[0] == "2"] == [f"2 {n}" for n in (1, 2, 3, 4)]
    assert [text for text in told if text[0] == "3"] == ["3 1", "3 2"]
    assert [text for text in told if text[0] == "4"] == ["4 1", "4 2"]
    assert {f["exception"] for f in failures(redis)} == {"Resque::DirtyExit"}
    assert (count(redis, "processed"), count(redis, "failed")) == (11, 9)
    assert left_over(redis) <= OWN


def test_a_pool_of_one_worker_keeps_the_order_when_that_dies(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """The worker that follows it takes no job before that one is put back."""
    client = resqued.Client(redis_url)
    client.enqueue(retried.lethal_with_family, 1, 3)
    client.enqueue(retried.plain, 2)
    # The processes of the job need a moment to die; the next look at them is so late
    # that a new worker would be faster.
    env = {"RESQUED_TIMINGS": "kill_recheck=1"}
    finish(pool(redis_url, tmp_path, "-a", "tests.support.retried", "--burst", env=env))
    assert attempts(redis) == ["1 1", "1 2", "1 3", "2 1"]


def test_a_retry_by_hand_leaves_nothing_behind(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """Although the job declares no retry, so nobody asks for its attempts."""
    resqued.Client(redis_url).enqueue(retried.by_hand_at_once, 7)
    finish(work(redis_url, tmp_path))
    assert attempts(redis) == ["7", "7", "7"]
    assert runs(redis) == {"7": 1}
    assert not redis.exists("resque:resqued:followed")
    assert left_over(redis) <= OWN


def test_a_job_that_kills_its_processes_is_set_aside(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """Although attempts are left; it comes back only if a person releases it."""
    client = resqued.Client(redis_url)
    client.enqueue(retried.poison, 1)
    client.enqueue(retried.poison_worker, 2)
    table = (
        "[retry]\nquarantine_after = 2\n[retry.class.Poison]\nquarantine_after = 3\n"
    )
    with pool(
        redis_url, tmp_path, "-a", "tests.support.retried", config=table
    ) as daemon:
        wait_until(lambda: client.quarantine.count() == 2, what="both to be set aside")
        assert sorted(attempts(redis)) == ["1 1", "1 2", "1 3", "2 1", "2 2"]
        (job,) = client.quarantine.matching("Poison")
        assert [death["attempt"] for death in job.deaths] == [1, 2, 3]
        assert {death["exception"] for death in job.deaths} == {"Resque::DirtyExit"}
        assert client.quarantine.release(job)
        wait_until(lambda: client.quarantine.count() == 2, what="it to be back")
        assert client.quarantine.page()[0].class_name == "Poison"
        names = {e["job_class"] for e in daemon.events("job_quarantined")}
    assert names == {"Poison", "PoisonWorker"}
    assert len(attempts(redis)) == 8
    assert not failures(redis)
    assert left_over(redis) <= OWN | {b"resque:resqued:quarantine"}


def test_what_a_job_says_of_the_death_of_its_worker_survives_a_reexec(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with running(redis_url, tmp_path, "-a", "tests.support.retried") as daemon:
        assert ask(daemon, do="reload", master=True)["ok"]
        client.enqueue(retried.lethal, 1, 2)
        wait_until(lambda: runs(redis), what="the job to be done")
    assert not failures(redis)
