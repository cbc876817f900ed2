"""The quarantine in a real server: what counts, what is set aside, and back again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.core.worker_death import DeathRule, DeathRules
from resqued.errors import ResquedError
from resqued.store.attempts import Attempt, AttemptEnd, ChildDeath
from resqued.store.connection import SingleLink
from resqued.store.job_identity import identify, identity_of
from resqued.store.registry import ReclaimResult, Registry
from resqued.store.runs import FinishedRun, Runs, SettleOutcome
from resqued.wire.keys import Keys
from resqued.wire.outcome import death_record
from resqued.wire.payload import FailureInfo, Reservation
from tests.support.cli import Run
from tests.support.runs import registered

pytestmark = pytest.mark.server_semantics

JOB = '{"class":"A","args":[1]}'
NAME = identity_of(JOB.encode())
FAULT = FailureInfo("Resque::DirtyExit", "killed")
# Before every run, by the clock of the worker.
LONG_AGO = 1.0
GONE = (SettleOutcome.RECORDED, SettleOutcome.QUARANTINED)


def entry_of(text: str = JOB, queue: str = "q") -> bytes:
    return (
        f'{{"failed_at":"x","payload":{text},"exception":"Resque::DirtyExit",'
        f'"error":"killed","backtrace":["line 1"],"worker":"w","queue":"{queue}"}}'
    ).encode()


@pytest.fixture
def link(redis_url: str) -> Iterator[SingleLink]:
    made = SingleLink(redis_url, timeout=30)
    yield made
    made.close()


@pytest.fixture
def runs(link: SingleLink) -> Runs:
    return registered(link, "q", namespace="resque")


def take(runs: Runs, redis: redis_py.Redis, text: str = JOB) -> Reservation:
    redis.rpush("resque:queue:q", text)
    _, held = runs.reserve()
    assert isinstance(held, Reservation)
    return held


def dies(
    runs: Runs, redis: redis_py.Redis, text: str = JOB, *, limit: int = 3
) -> SettleOutcome:
    """Take a job, whose child dies, and settle its run; return the outcome."""
    held = take(runs, redis, text)
    end = AttemptEnd(
        Attempt(identity_of(text.encode())), death=ChildDeath(limit, "q", "A")
    )
    death = death_record(FAULT, worker="w", now=LONG_AGO, attempt=1)
    ending = FinishedRun(held.run, entry_of(text), end, death)
    return runs.settle_attempt(ending, end)


def succeeds(runs: Runs, redis: redis_py.Redis, entry: bytes = b"") -> None:
    settled, _ = runs.settle(FinishedRun(take(runs, redis).run, entry))
    assert settled is SettleOutcome.RECORDED


def known(redis: redis_py.Redis) -> set[bytes]:
    """The keys of deaths and of attempts."""
    found = [*redis.keys("*deaths*"), *redis.keys("*retry*"), *redis.keys("*followed")]
    return set(found)


def test_the_last_of_several_deaths_in_a_row_sets_the_job_aside(
    runs: Runs, redis: redis_py.Redis, client: resqued.Client
) -> None:
    answers = [dies(runs, redis) for _ in range(4)]
    recorded, aside = GONE
    assert answers == [recorded, recorded, aside, aside]
    assert redis.llen("resque:failed") == 2
    assert redis.mget("resque:stat:processed", "resque:stat:failed") == [b"4", b"4"]
    newest, oldest = client.quarantine.page()
    assert (oldest.queue, oldest.class_name, oldest.args) == ("q", "A", (1,))
    assert [death["attempt"] for death in oldest.deaths] == [1, 1, 1]
    assert oldest.deaths[0]["error"] == oldest.failure.error == "killed"
    assert oldest.failure.backtrace == ("line 1",)
    now = client.registry.link.time()
    assert oldest.quarantined_at is not None
    assert 0 <= now - oldest.quarantined_at.timestamp() < 600
    # No more than three are kept.
    assert len(newest.deaths) == 3
    assert not redis.exists(f"resque:worker:{runs.worker_id}")


@pytest.mark.parametrize("entry", [b"", entry_of()], ids=["performed", "raised"])
def test_another_end_of_a_run_begins_a_new_row(
    runs: Runs, redis: redis_py.Redis, entry: bytes
) -> None:
    for _ in range(3):
        dies(runs, redis)
        dies(runs, redis)
        assert known(redis)
        succeeds(runs, redis, entry)
        assert not known(redis)
    assert not redis.exists("resque:resqued:quarantine")


def test_the_end_of_an_attempt_begins_a_new_row(
    runs: Runs, redis: redis_py.Redis
) -> None:
    dies(runs, redis)
    dies(runs, redis)
    end = AttemptEnd(Attempt(NAME, 3))
    runs.settle_attempt(FinishedRun(take(runs, redis).run, b"", end), end)
    assert not known(redis)


def test_a_death_that_does_not_count_changes_nothing(
    runs: Runs, redis: redis_py.Redis
) -> None:
    dies(runs, redis)
    dies(runs, redis)
    assert dies(runs, redis, limit=0) is SettleOutcome.RECORDED
    assert dies(runs, redis) is SettleOutcome.QUARANTINED


def test_jobs_with_other_arguments_have_their_own_row(
    runs: Runs, redis: redis_py.Redis
) -> None:
    for n in range(5):
        text = f'{{"class":"A","args":[{n}]}}'
        assert dies(runs, redis, text) is SettleOutcome.RECORDED
    # The same job, as node-resque writes it.
    text = '{"class":"A","queue":"q","args":[0]}'
    assert dies(runs, redis, text) is SettleOutcome.RECORDED
    assert dies(runs, redis, text) is SettleOutcome.QUARANTINED


def test_a_settlement_is_counted_once_although_its_reply_was_lost(
    runs: Runs, redis: redis_py.Redis
) -> None:
    end = AttemptEnd(Attempt(NAME), death=ChildDeath(2, "q", "A"))
    ending = FinishedRun(take(runs, redis).run, entry_of(), end, b'{"died_at":"1"}')
    answers = [runs.settle_attempt(ending, end) for _ in range(3)]
    assert answers == [SettleOutcome.RECORDED, *[SettleOutcome.NOTHING] * 2]
    assert redis.llen(f"resque:resqued:deaths:{NAME}") == 1


def test_a_job_whose_next_attempt_would_wait_is_set_aside_all_the_same(
    runs: Runs, redis: redis_py.Redis
) -> None:
    item = '{"class":"A","args":[1],"queue":"q"}'
    for wanted in (SettleOutcome.RETRIED, SettleOutcome.QUARANTINED):
        death = ChildDeath(2, "q", "A")
        end = AttemptEnd(Attempt(NAME, 1), 60.0, "q", JOB, item, death=death)
        ending = FinishedRun(take(runs, redis).run, entry_of(), end, b"{}")
        assert runs.settle_attempt(ending, end) is wanted
    assert redis.zcard("resque:delayed_queue_schedule") == 1
    assert not redis.keys("*resque-retry*")


def test_a_full_quarantine_takes_no_more_and_the_jobs_fail(
    runs: Runs, redis: redis_py.Redis
) -> None:
    redis.rpush("resque:resqued:quarantine", *range(10_000))
    assert dies(runs, redis, limit=1) is SettleOutcome.RECORDED
    assert redis.llen("resque:resqued:quarantine") == 10_000
    assert redis.llen("resque:failed") == 1
    redis.set("resque:resqued:quarantine", "no list")
    assert dies(runs, redis, limit=1) is SettleOutcome.RECORDED


def test_no_more_payloads_are_followed_than_there_may_be(
    runs: Runs, redis: redis_py.Redis
) -> None:
    redis.hset("resque:resqued:followed", mapping={str(n): "A:x" for n in range(1000)})
    dies(runs, redis)
    assert redis.hvals("resque:resqued:followed") == [NAME.encode()]
    assert 0 < redis.ttl("resque:resqued:followed") <= 7 * 86_400
    assert 0 < redis.ttl(f"resque:resqued:deaths:{NAME}") <= 7 * 86_400


def test_other_back_ends_get_the_failure_of_a_job_that_was_set_aside(
    runs: Runs, redis: redis_py.Redis
) -> None:
    end = AttemptEnd(Attempt(NAME), death=ChildDeath(1, "q", "A"))
    addressed = b"6:failed7:webhook" + entry_of()
    ending = FinishedRun(take(runs, redis).run, addressed, end, b"{}")
    assert runs.settle_attempt(ending, end) is SettleOutcome.QUARANTINED
    assert redis.lrange("resque:resqued:outbox:webhook", 0, -1) == [b"1:" + entry_of()]
    assert not redis.exists("resque:failed")


def test_a_retry_without_a_rule_leaves_nothing_when_the_job_is_over(
    runs: Runs, redis: redis_py.Redis
) -> None:
    """The job raised RetryLater: at its next run nobody asks for its attempts."""
    for entry in (b"", entry_of()):
        end = AttemptEnd(Attempt(NAME), 0.0, "q", JOB, "unused")
        runs.settle_attempt(FinishedRun(take(runs, redis).run, entry_of(), end), end)
        assert len(redis.keys("*resque-retry*")) == 2
        assert redis.lpop("resque:queue:q") == JOB.encode()
        succeeds(runs, redis, entry)
        assert not known(redis)


# Workers that die


def lose(
    redis: redis_py.Redis, client: resqued.Client, rules: DeathRules, run_at: str
) -> ReclaimResult:
    """Have a worker die with the job, and reclaim it."""
    worker = "host:9:q"
    record = f'{{"queue":"q","run_at":"{run_at}","payload":{JOB}}}'
    redis.sadd("resque:workers", worker)
    redis.set(f"resque:worker:{worker}", record)
    (entry,) = client.registry.read([worker])
    registry = Registry(client.registry.link, Keys())
    (result,) = registry.reclaim([(entry, FAULT)], rules)
    return result


LATER = "2099-01-01T00:00:00Z"


@pytest.mark.parametrize("action", ["fail", "requeue", "retry"])
def test_deaths_of_workers_count_with_every_action(
    redis: redis_py.Redis, client: resqued.Client, action: str
) -> None:
    rules = DeathRules(DeathRule(action, 9, 60.0, 2))
    first = ReclaimResult.DONE if action == "fail" else ReclaimResult.PUT_BACK
    assert lose(redis, client, rules, LATER) is first
    assert lose(redis, client, rules, LATER) is ReclaimResult.QUARANTINED
    (job,) = client.quarantine
    assert [death["worker"] for death in job.deaths] == ["host:9:q"] * 2
    assert not redis.keys("*resque-retry*")
    assert redis.llen("resque:failed") == (action == "fail")
    assert not redis.exists("resque:workers")


def test_equal_jobs_that_one_event_has_ended_count_once(
    redis: redis_py.Redis, client: resqued.Client
) -> None:
    """They ran at the same time, on a host that was lost: none ran after a death."""
    rules = DeathRules(DeathRule("fail", 3, 10.0, 2))
    for _ in range(5):
        result = lose(redis, client, rules, "2020-01-01T00:00:00Z")
        assert result is ReclaimResult.DONE
    assert redis.llen(f"resque:resqued:deaths:{NAME}") == 1


def test_none_are_set_aside_if_that_is_off(
    redis: redis_py.Redis, client: resqued.Client
) -> None:
    rules = DeathRules(
        DeathRule("fail", 3, 10.0, 1), classes={"A": DeathRule(quarantine_after=0)}
    )
    for _ in range(3):
        assert lose(redis, client, rules, LATER) is ReclaimResult.DONE
    assert not known(redis)


# Released and removed


def test_a_job_is_released_once_with_all_that_its_payload_has(
    runs: Runs, redis: redis_py.Redis, client: resqued.Client
) -> None:
    text = '{"class":"A","args":[1,{"a":null}],"limits":{"runtime":60.0}}'
    dies(runs, redis, text, limit=1)
    (job,) = client.quarantine
    redis.delete("resque:queues")
    assert client.quarantine.release(job)
    assert not client.quarantine.release(job)
    assert redis.lrange("resque:queue:q", 0, -1) == [text.encode()]
    assert client.queues() == ["q"]
    # It has all its runs again.
    assert not redis.keys("*deaths:*")
    assert client.quarantine.count() == 0


def test_pages_are_read_from_the_newest(
    runs: Runs, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for n in range(250):
        dies(runs, redis, f'{{"class":"A","args":[{n}]}}', limit=1)
    numbers = [job.args[0] for job in client.quarantine]
    assert numbers == list(reversed(range(250)))
    assert [job.args[0] for job in client.quarantine.page(2, 3)] == [247, 246, 245]
    assert client.quarantine.page(248, 9)[-1].args == (0,)
    assert client.quarantine.page(250) == client.quarantine.page(0, 0) == []
    # The jobs that were read are removed while others are read.
    removed = [job for job in client.quarantine if client.quarantine.remove(job)]
    assert len(removed) == 250


def test_an_entry_of_another_program_is_shown_and_can_be_removed(
    redis: redis_py.Redis, client: resqued.Client
) -> None:
    for odd in (b"\xff", b"[1]", b'{"quarantined_at":1,"failure":{},"deaths":[1]}'):
        redis.rpush("resque:resqued:quarantine", odd)
    for job in client.quarantine:
        assert job.class_name == "<Unknown Job>"
        with pytest.raises(resqued.PayloadError, match=job.id):
            client.quarantine.release(job)
        assert json.dumps(job.as_dict())
        assert client.quarantine.remove(job)
    assert client.quarantine.count() == 0


# The command


@pytest.fixture
def three(runs: Runs, redis: redis_py.Redis) -> None:
    for n, name in enumerate("ABC"):
        dies(runs, redis, f'{{"class":"{name}","args":[{n}]}}', limit=1)


def found(run: Run, *args: str) -> list[dict[str, object]]:
    answer = json.loads(run("quarantine", *args, "--json").stdout)
    assert isinstance(answer, list)
    return answer


@pytest.mark.usefixtures("three")
def test_the_command_lists_and_shows(run: Run) -> None:
    assert [job["class"] for job in found(run)] == ["C", "B", "A"]
    assert [job["class"] for job in found(run, "list", "--start", "2")] == ["A"]
    (job,) = found(run, "list", "--class", "B")
    assert found(run, "list", "--queue", "other") == []
    shown = json.loads(run("quarantine", "show", str(job["id"])[:6], "--json").stdout)
    assert shown == job
    assert "Resque::DirtyExit: killed" in run("quarantine").stdout
    text = run("quarantine", "show", str(job["id"])).stdout
    assert "line 1" in text
    assert "death " in text


@pytest.mark.usefixtures("three")
def test_the_command_releases_and_removes(run: Run, client: resqued.Client) -> None:
    ids = [str(job["id"]) for job in found(run)]
    said = run("quarantine", "release", ids[0][:8]).stdout
    assert said == "released 1 quarantined job\n"
    assert client.peek("q") == [{"class": "C", "args": [2]}]
    run("quarantine", "remove", fails=SystemExit)
    run("quarantine", "remove", "--class", "A", "--yes", fails=SystemExit)
    said = run("quarantine", "remove", "--all", "--class", "A", "--yes").stdout
    assert said == "removed 1 quarantined job\n"
    failed = run("quarantine", "release", "ffffffffffff", fails=ResquedError)
    assert "`resqued quarantine` lists them" in str(failed.exception)
    assert run("quarantine", "release", "--all").stdout == (
        "released 1 quarantined job\n"
    )
    assert run("quarantine").stdout == "no quarantined jobs\n"
    assert client.size("q") == 2


def test_a_quarantined_job_is_known_by_its_bytes(
    runs: Runs, redis: redis_py.Redis, client: resqued.Client
) -> None:
    dies(runs, redis, limit=1)
    (job,) = client.quarantine
    assert client.quarantine.find(job.id[:4]) == job
    assert client.quarantine.find("") is None
    other = replace(job, entry=job.entry + b" ")
    assert not client.quarantine.remove(other)
    assert client.quarantine.clear() == 1


# Diagnostics


def findings_of(run: Run, *args: str) -> list[dict[str, str]]:
    answer = json.loads(run(*args, "--json").stdout)
    found = [f for each in answer for f in each.get("findings", [each])]
    return [dict(finding) for finding in found]


def test_why_knows_jobs_that_are_elsewhere(
    runs: Runs, redis: redis_py.Redis, client: resqued.Client, run: Run
) -> None:
    dies(runs, redis, limit=1)
    client.enqueue_in_with_queue("q", "1h", "Late", 1)
    client.enqueue_in_with_queue("q", "2h", "Again", 2)
    again = identify("Again", [2])
    redis.set(f"resque:resque-retry:{again}", 0)
    redis.set(f"resque:failure-resque-retry:{again}", entry_of())
    found = {f["kind"]: f["text"] for f in findings_of(run, "why", "q")}
    assert found["quarantined"].startswith("1 job of queue q quarantined since 20")
    assert "after Resque::DirtyExit: killed" in found["retried"]
    assert found["delayed"].startswith("1 job for queue q delayed until 20")
    for name, kind in (("A", "quarantined"), ("Again", "retried"), ("Late", "delayed")):
        kinds = [f["kind"] for f in findings_of(run, "why", name) if f["is_cause"]]
        assert kind in kinds


def test_doctor_warns_of_jobs_set_aside_and_of_long_outboxes(
    runs: Runs, redis: redis_py.Redis, run: Run, tmp_path: Path
) -> None:
    dies(runs, redis, limit=1)
    redis.rpush("resque:resqued:outbox:webhook", *(b"1:" + entry_of(),) * 1001)
    config = tmp_path / "resqued.toml"
    config.write_text(
        '[failure]\nbackends = ["redis", "webhook", "log"]\n'
        'webhook_url = "http://127.0.0.1:1/"\n[[pool]]\nqueues = "q"\n'
    )
    report = json.loads(run("doctor", "-c", str(config), "--json").stdout)
    told = report["findings"] if isinstance(report, dict) else report
    found = [(f["check"], f["verdict"], f["text"]) for f in told]
    (aside,) = [text for check, _, text in found if check == "quarantine"]
    assert aside.startswith("1 job set aside, the last one of A ")
    outboxes = [(v, text[:30]) for check, v, text in found if "back ends" in check]
    assert outboxes == [
        ("warning", "webhook has not taken 1001 fai"),
        ("ok", "log: 0 failures to deliver"),
    ]
