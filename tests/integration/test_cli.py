"""The commands that look at Redis and act on queues, as an operator uses them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.wire import timestamps
from tests.support.cli import (
    NS,
    Run,
    add_failure,
    add_worker,
    give_job,
    rows,
    server_time,
)
from tests.support.wait import scaled


def test_status_of_nothing(run: Run) -> None:
    assert json.loads(run("status", "--json").stdout) == {
        "masters": [],
        "pending": 0,
        "processed": 0,
        "failed": 0,
        "failures": 0,
        "queues": {},
        "paused_queues": [],
        "workers": [],
    }
    assert run("status").stdout == (
        "0 jobs waiting; 0 processed, 0 of them failed; 0 failures listed by"
        " `resqued failed`\n"
        "\nno queues\n\nno workers\n"
    )


@pytest.mark.server_semantics
def test_status_shows_counters_queues_and_workers(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    client.enqueue_many([("Mail", 1), ("Mail", 2)], queue="mail")
    client.enqueue_to("critical", "Pay")
    redis.mset({f"{NS}stat:processed": 7, f"{NS}stat:failed": 3})
    add_failure(redis)
    worker_id = "web1:42:critical,mail"
    add_worker(redis, worker_id, server_time(redis, ago=3))
    run_at = timestamps.run_at(redis.time()[0] - 90)
    give_job(redis, worker_id, run_at)
    redis.set(f"{NS}worker:{worker_id}:started", "2026-11-23 11:38:35 +0000")
    redis.mset(
        {f"{NS}stat:processed:{worker_id}": 5, f"{NS}stat:failed:{worker_id}": 1}
    )

    shown = json.loads(run("status", "--json").stdout)
    (worker,) = shown.pop("workers")
    assert shown == {
        "masters": [],
        "pending": 3,
        "processed": 7,
        "failed": 3,
        "failures": 1,
        "queues": {"critical": 1, "mail": 2},
        "paused_queues": [],
    }
    age = worker.pop("heartbeat_age")
    assert 3 <= age < 3 + scaled(60)
    assert (
        worker.pop("heartbeat")
        == redis.hget(f"{NS}workers:heartbeat", worker_id).decode()
    )
    assert worker == {
        "id": worker_id,
        "host": "web1",
        "pid": 42,
        "queues": ["critical", "mail"],
        "state": "working",
        "job": {"queue": "mail", "class": "Slow", "args": [7], "run_at": run_at},
        "started": "2026-11-23 11:38:35 +0000",
        "processed": 5,
        "failed": 1,
    }
    last = rows(run("status"))[-1]
    assert last[0:2] == [worker_id, "working"]
    assert last[2:7] == ["1 min", "mail", "Slow(7)", "5", "1"]


def test_a_worker_that_gives_no_sign_of_life_is_shown_so(
    run: Run, redis: redis_py.Redis
) -> None:
    add_worker(redis, "a:1:q", server_time(redis, ago=10))
    add_worker(redis, "b:1:q", server_time(redis, ago=400))
    give_job(redis, "b:1:q", "2026-11-23T11:38:35Z")
    add_worker(redis, "c:1:q")
    # Ours beats every 2 s, so that 11 s are too long; on another machine.
    ours = {
        "boot": "x",
        "pids": "y",
        "pid": 1,
        "start": 2,
        "heartbeat": 2,
        "nonce": "z",
    }
    add_worker(redis, "d:1:q", server_time(redis, ago=11))
    redis.hset(f"{NS}resqued:workers", "d:1:q", json.dumps(ours))
    # node-resque has a ping.
    add_worker(redis, "e:1:q")
    redis.set(f"{NS}worker:ping:e:1", json.dumps({"time": redis.time()[0] - 5}))
    redis.hset(f"{NS}workers:heartbeat", "f:1:q", server_time(redis))

    shown = {w["id"]: w for w in json.loads(run("workers", "--json").stdout)}
    assert {name: worker["state"] for name, worker in shown.items()} == {
        "a:1:q": "idle",
        "b:1:q": "silent",
        "c:1:q": "unknown",
        "d:1:q": "silent",
        "e:1:q": "idle",
    }
    assert shown["b:1:q"]["job"]["class"] == "Slow"
    assert shown["c:1:q"]["heartbeat_age"] is None
    table = {row[0]: row[1:] for row in rows(run("workers"))}
    assert (table["b:1:q"][0], table["b:1:q"][-1]) == ("silent", "6 min")
    assert (table["c:1:q"][0], table["c:1:q"][-1]) == ("unknown", "-")


def test_what_others_wrote_into_worker_records_is_shown_as_far_as_it_goes(
    run: Run, redis: redis_py.Redis
) -> None:
    records = {
        "a:1:q": "not json",
        "b:1:q": "{}",
        "c:1:q": '{"queue":"q","run_at":"Mon Nov 23 2026","payload":null}',
        "d": '{"queue":"q","run_at":5,"payload":{"class":"A"}}',
    }
    for worker_id, record in records.items():
        add_worker(redis, worker_id)
        redis.set(f"{NS}worker:{worker_id}", record)
    run("status")
    shown = json.loads(run("workers", "--json").stdout)
    assert [worker["job"]["class"] for worker in shown] == [
        *["<Unknown Job>"] * 3,
        "A",
    ]


def test_a_listing_takes_so_many_round_trips_however_many_there_are(
    run: Run, redis: redis_py.Redis
) -> None:
    def commands(*args: str) -> int:
        before = redis.info("stats")["total_reads_processed"]
        run(*args)
        return int(redis.info("stats")["total_reads_processed"] - before)

    few = commands("status")
    for number in range(300):
        add_worker(redis, f"h:{number}:q", server_time(redis))
        redis.sadd(f"{NS}queues", f"q{number}")
        add_failure(redis, number)
    assert commands("status") <= few + 10
    assert commands("failed", "--count", "100") <= few + 10


def test_queues_are_listed_by_name(run: Run, client: resqued.Client) -> None:
    client.enqueue_to("mail", "Mail")
    client.enqueue_to("critical", "Pay")
    client.enqueue_to("critical", "Pay")
    assert run("queues").stdout == (
        "QUEUE     WAITING\ncritical        2\nmail            1\n"
    )
    assert run("queues", "list").stdout == run("queues").stdout
    assert json.loads(run("queues", "--json").stdout) == {"critical": 2, "mail": 1}


def test_peek_shows_a_part_of_a_queue_and_takes_nothing(
    run: Run, client: resqued.Client
) -> None:
    client.enqueue_many(([n, "é"] for n in range(5)), job="Mail", queue="mail")
    assert rows(run("queues", "peek", "mail", "--start", "2", "--count", "2")) == [
        ["POSITION", "CLASS", "ARGUMENTS"],
        ["2", "Mail", '2, "é"'],
        ["3", "Mail", '3, "é"'],
    ]
    shown = json.loads(run("queues", "peek", "mail", "--json").stdout)
    assert shown == [{"class": "Mail", "args": [n, "é"]} for n in range(5)]
    assert run("queues", "peek", "mail", "--start", "9").stdout == "no jobs there\n"
    assert client.size("mail") == 5


def test_peek_shows_elements_that_are_no_jobs(run: Run, redis: redis_py.Redis) -> None:
    redis.sadd(f"{NS}queues", "mail")
    redis.rpush(
        f"{NS}queue:mail",
        "not json",
        b"\xff",
        "[1]",
        "null",
        '{"class":"A","args":{"k":1}}',
    )
    assert [row[1:] for row in rows(run("queues", "peek", "mail"))[1:]] == [
        ["(not JSON)", "not json"],
        ["(not JSON)", r"\xff"],
        ["(no job)", "[1]"],
        ["(no job)", "null"],
        ["A", '{"k": 1}'],
    ]
    shown = json.loads(run("queues", "peek", "mail", "--json").stdout)
    assert shown == ["not json", r"\xff", [1], None, {"class": "A", "args": {"k": 1}}]


def test_clear_removes_a_queue_with_its_jobs(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    client.enqueue_many([("Mail", 1), ("Mail", 2)], queue="mail")
    client.enqueue_to("other", "Mail")
    result = run("queues", "clear", "mail", "--yes")
    assert result.stdout == "removed queue mail with 2 jobs\n"
    assert client.queue_sizes() == {"other": 1}
    assert not redis.exists(f"{NS}queue:mail")


def test_clear_takes_a_queue_whose_name_is_forgotten(
    run: Run, redis: redis_py.Redis
) -> None:
    redis.rpush(f"{NS}queue:mail", "{}")
    run("queues", "clear", "mail", "--yes")
    assert not redis.exists(f"{NS}queue:mail")


def test_a_queue_is_paused_and_goes_on(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    client.enqueue_to("mail", "Mail")
    client.enqueue_to("other", "Mail")
    result = run("queues", "pause", "mail")
    assert result.stdout == (
        "queue mail is paused; `resqued queues resume mail` resumes it\n"
    )
    assert "was paused already" in run("queues", "pause", "mail").stdout
    assert client.paused_queues() == ["mail"]
    assert rows(run("queues")) == [
        ["QUEUE", "WAITING", "STATE"],
        ["mail", "1", "paused"],
        ["other", "1"],
    ]
    assert ["mail", "1", "paused"] in rows(run("status"))
    assert json.loads(run("status", "--json").stdout)["paused_queues"] == ["mail"]
    assert "queue_paused: queue mail is paused" in run("why", "mail").stdout
    assert "queue_paused" not in run("why", "other").stdout
    assert run("queues", "resume", "mail").stdout == "queue mail is resumed\n"
    assert run("queues", "resume", "mail").stdout == "queue mail was not paused\n"
    assert rows(run("queues"))[0] == ["QUEUE", "WAITING"]


def test_who_pauses_a_queue_is_told_who_goes_on(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    add_worker(redis, "ruby:1:mail,*")
    add_worker(redis, "ruby:2:other")
    told = run("queues", "pause", "mail").stdout.splitlines()
    others = "1 worker of other libraries may take its jobs"
    assert told[1:] == [
        "no queue mail exists yet; `resqued queues` lists those that do",
        f"{others}; those of Ruby stop only with resque-pause",
    ]
    assert ["mail", "0", "paused"] in rows(run("queues"))


def test_stats_are_the_counters_and_the_queues(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    client.enqueue_to("mail", "Mail")
    redis.mset({f"{NS}stat:processed": 7, f"{NS}stat:failed": 3})
    assert json.loads(run("stats", "--json").stdout) == {
        **client.info().as_dict(),
        "queue_sizes": {"mail": 1},
    }
    assert ["processed", "7"] in [row[:2] for row in rows(run("stats"))]
    assert ["mail", "1"] in rows(run("stats"))


def test_namespace_and_redis_come_from_the_options(
    run: Run, redis_url: str, client: resqued.Client
) -> None:
    run("enqueue", "-N", "other", "Mail", "-q", "mail")
    assert client.queue_sizes() == {}
    shown = run("queues", "-r", redis_url, "-N", "other", "--json").stdout
    assert json.loads(shown) == {"mail": 1}


def test_enqueue_says_what_it_did(
    run: Run, client: resqued.Client, redis: redis_py.Redis
) -> None:
    assert run("enqueue", "Mail", '"a"', "7", "-q", "mail").stdout == (
        'enqueued Mail("a", 7) on mail, 0 ahead\n'
    )
    assert run("enqueue", "Mail", "-q", "mail").stdout == (
        "enqueued Mail() on mail, 1 ahead\n"
    )


def test_enqueue_finds_the_queue_that_the_job_declares(
    run: Run,
    client: resqued.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "photos.py").write_text(
        'import resqued\n@resqued.job(queue="resize")\ndef resize(name): ...\n'
        "class Bare:\n    perform = staticmethod(print)\n"
    )
    monkeypatch.chdir(tmp_path)
    shown = run("enqueue", "photos.resize", "beach.jpg", "-a", "photos").stdout
    assert shown == 'enqueued photos.resize("beach.jpg") on resize, 0 ahead\n'
    for name, message in (
        ("photos.resise", "did you mean photos.resize?"),
        ("photos.Bare", "photos.Bare declares no queue: name one with -q"),
    ):
        error = run("enqueue", name, "-a", "photos", fails=resqued.JobClassError)
        assert message in str(error.exception)
    assert client.queue_sizes() == {"resize": 1}


@pytest.mark.parametrize("text", ['{"a": 1', "[1,", '"a'])
def test_enqueue_refuses_half_json(run: Run, client: resqued.Client, text: str) -> None:
    result = run("enqueue", "Mail", text, "-q", "mail", fails=SystemExit)
    assert "begins as JSON and is none" in result.output
    as_text = result.output.rpartition("a JSON string: '")[2].rstrip("'\n")
    assert json.loads(as_text) == text
    assert client.queue_sizes() == {}


def test_the_name_of_a_queue_alone_looks_into_it(
    run: Run, client: resqued.Client
) -> None:
    client.enqueue_to("mail", "Mail", 7)
    assert run("queues", "mail").stdout == run("queues", "peek", "mail").stdout
    error = run("queues", "nope", fails=resqued.ResquedError).exception
    assert "there is no queue 'nope'" in str(error)


def test_enqueue_reads_json_where_it_is_json(run: Run, redis: redis_py.Redis) -> None:
    run(
        *(
            "enqueue",
            "Mail",
            "44",
            "-5",
            '"44"',
            "a b",
            '{"k":null}',
            "NaN",
            "-q",
            "low",
        )
    )
    assert redis.lrange(f"{NS}queue:low", 0, -1) == [
        b'{"class":"Mail","args":[44,-5,"44","a b",{"k":null},"NaN"]}'
    ]
