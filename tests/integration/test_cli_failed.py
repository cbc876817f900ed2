"""`resqued failed`: pages of failures, and acting on one by its content."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime

import pytest
import redis as redis_py

import resqued
from resqued.wire import timestamps
from tests.support.cli import NS, RESQUED, Run, add_failure, rows
from tests.support.daemon import clean_environment

pytestmark = pytest.mark.server_semantics


def test_failures_are_listed_newest_first_in_pages(
    run: Run, redis: redis_py.Redis
) -> None:
    ids = [add_failure(redis, n) for n in range(5)][::-1]
    assert [row[0] for row in rows(run("failed"))] == ["ID", *ids]
    page = json.loads(run("failed", "--start", "1", "--count", "2", "--json").stdout)
    assert [failure["id"] for failure in page] == ids[1:3]
    assert page[0]["payload"] == {"class": "Boom", "args": [3]}
    assert run("failed", "--start", "9").stdout == "no failures\n"


def test_failures_are_picked_by_class_and_queue(
    run: Run, redis: redis_py.Redis
) -> None:
    mail = [add_failure(redis, n) for n in range(3)][::-1]
    other = add_failure(redis, class_name="Other")
    slow = add_failure(redis, class_name="Other", queue="slow")

    def ids(*args: str) -> list[str]:
        return [f["id"] for f in json.loads(run("failed", *args, "--json").stdout)]

    assert ids("--class", "Boom") == mail
    assert ids("--class", "Boom", "--start", "1", "--count", "1") == mail[1:2]
    assert ids("--queue", "slow") == [slow]
    assert ids("--queue", "mail", "--class", "Other") == [other]
    assert ids("--class", "Nobody") == []


def test_failures_are_picked_by_exception_and_time(
    run: Run, redis: redis_py.Redis
) -> None:
    early, late = add_failure(redis, 1), add_failure(redis, 3_600)
    at = datetime.fromtimestamp(1_700_003_600).isoformat()

    def ids(*args: str) -> list[str]:
        return [f["id"] for f in json.loads(run("failed", *args, "--json").stdout)]

    assert ids("--exception", "ValueError") == [late, early]
    assert ids("--exception", "Resque::DirtyExit") == []
    assert ids("--since", at) == [late]
    assert ids("--until", at) == [early]
    assert ids("--since", "1h") == []
    result = run("failed", "--since", "soon", fails=SystemExit)
    assert "'soon' is not a time such as 1h (ago)" in result.output


def test_a_dry_run_says_how_many_and_changes_nothing(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    first, _ = add_failure(redis, 1), add_failure(redis, 2, class_name="Other")
    redis.rpush(f"{NS}failed", "garbage")
    before = redis.lrange(f"{NS}failed", 0, -1)
    result = run("failed", "retry", "--all", "--dry-run")
    assert result.stdout == "would retry 2 failures\n"
    assert result.stderr.startswith("left out: 1, such as failure ")
    for args, said in (
        (("retry", "--all", "--class", "Other"), "would retry 1 failure\n"),
        (("retry", first), "would retry 1 failure\n"),
        (("remove", "--all"), "would remove 3 failures\n"),
        (("remove", "--all", "--since", "1h"), "would remove 0 failures\n"),
        (("remove", first), "would remove 1 failure\n"),
    ):
        assert run("failed", *args, "--dry-run").stdout == said
    assert redis.lrange(f"{NS}failed", 0, -1) == before
    assert client.queues() == []


def test_show_tells_everything_about_a_failure(run: Run, redis: redis_py.Redis) -> None:
    failure_id = add_failure(redis, error="two\nlines")
    shown = run("failed", "show", failure_id[:4].upper()).stdout
    assert shown.splitlines() == [
        f"id          {failure_id}",
        f"failed_at   {timestamps.failed_at(1_700_000_001)}",
        'payload     {"class": "Boom", "args": [1]}',
        "exception   ValueError",
        "error       two",
        "            lines",
        "worker      h:1:mail",
        "queue       mail",
        "backtrace",
        "  frame one",
        "  frame two",
    ]
    as_json = json.loads(run("failed", "show", failure_id, "--json").stdout)
    assert as_json["backtrace"] == ["frame one", "frame two"]
    assert as_json["id"] == failure_id


def test_entries_that_are_no_failures_are_shown_and_can_be_removed(
    run: Run, redis: redis_py.Redis
) -> None:
    entries = [b"", b"garbage", b"\xff", b"[1]", b'{"id":"mine","backtrace":"text"}']
    redis.rpush(f"{NS}failed", *entries)
    shown = json.loads(run("failed", "--json").stdout)
    assert [f["id"] for f in shown] == [resqued.Failure(e).id for e in entries[::-1]]
    assert [f.get("raw") for f in shown] == [None, "[1]", r"\xff", "garbage", ""]
    for failure in shown:
        run("failed", "show", failure["id"])
    ids = [failure["id"] for failure in shown]
    assert run("failed", "remove", *ids, "--yes").stdout == "removed 5 failures\n"
    assert redis.llen(f"{NS}failed") == 0


def test_retry_by_id_enqueues_the_job_and_marks_the_failure(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    first, second = add_failure(redis, 1), add_failure(redis, 2)
    assert run("failed", "retry", second).stdout == "retried 1 failure\n"
    assert client.peek("mail", 0, 9) == [{"class": "Boom", "args": [2]}]
    newest, oldest = client.failures.page()
    assert oldest.id == first
    assert newest.is_retried
    # By name, it may be retried again.
    assert run("failed", "retry", newest.id).stdout == "retried 1 failure\n"
    assert client.size("mail") == 2


def test_retry_by_id_removes_the_failure_and_goes_to_another_queue(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    first, second = add_failure(redis, 1), add_failure(redis, 2)
    result = run("failed", "retry", "--remove", "--to", "slow", second)
    assert result.stdout == "retried and removed 1 failure\n"
    assert client.peek("slow", 0, 9) == [{"class": "Boom", "args": [2]}]
    assert [failure.id for failure in client.failures.page()] == [first]
    run("failed", "retry", "--all", "--to", "slow", fails=SystemExit)


def test_retry_all_removes_what_it_retries(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for number in range(30):
        add_failure(redis, number)
    other = add_failure(redis, class_name="Other")
    command = ("failed", "retry", "--all", "--remove", "--class", "Boom")
    assert run(*command, "--dry-run").stdout == "would retry 30 failures\n"
    assert run(*command).stdout == "retried and removed 30 failures\n"
    assert [job["args"] for job in client.peek("mail", 0, 99)] == [
        [number] for number in range(30)
    ]
    assert [failure.id for failure in client.failures.page()] == [other]


def test_retry_all_takes_each_failure_once(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for number in range(450):
        add_failure(redis, number)
    add_failure(redis, class_name="Other", queue="slow")
    redis.rpush(f"{NS}failed", "garbage")
    result = run("failed", "retry", "--all", "--queue", "mail")
    assert result.stdout == "retried 450 failures\n"
    assert [job["args"] for job in client.peek("mail", 0, 999)] == [
        [number] for number in range(450)
    ]
    result = run("failed", "retry", "--all")
    assert result.stdout == "retried 1 failure\n"
    assert result.stderr.startswith("left out: 1, such as failure ")
    assert client.queue_sizes() == {"mail": 450, "slow": 1}


def test_two_ids_of_one_failure_are_one(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    failure_id = add_failure(redis)
    args = (failure_id, failure_id[:5], failure_id[:4])
    assert run("failed", "retry", *args).stdout == "retried 1 failure\n"
    assert client.size("mail") == 1


def test_of_equal_failures_one_is_one(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    failure_id = add_failure(redis)
    assert add_failure(redis) == failure_id
    run("failed", "retry", failure_id)
    assert client.size("mail") == 1
    run("failed", "retry", failure_id)
    assert client.size("mail") == 2
    run("failed", "retry", failure_id, fails=resqued.ResquedError)


def test_remove_all_leaves_the_others(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    other = add_failure(redis, class_name="Other")
    for number in range(450):
        add_failure(redis, number)
    result = run("failed", "remove", "--all", "--class", "Boom", "--yes")
    assert result.stdout == "removed 450 failures\n"
    assert [failure.id for failure in client.failures.page()] == [other]


@pytest.mark.parametrize("verb", ["retry", "remove"])
def test_all_means_those_there_are_and_loses_none_that_arrive_meanwhile(
    verb: str, redis_url: str, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for number in range(450):
        add_failure(redis, number)
    command = [*RESQUED, "failed", verb, "--all", "--class", "Boom"]
    command += ["--yes"] if verb == "remove" else []
    env = {**clean_environment(), "REDIS_URL": redis_url}
    number = 450
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as act:
        while act.poll() is None:
            add_failure(redis, number)
            number += 1
        assert act.stdout
        done = int(act.stdout.read().split()[1])
    assert act.returncode == 0
    left = [failure.fields for failure in client.failures.oldest_first()]
    untouched = [f["payload"]["args"][0] for f in left if not f.get("retried_at")]
    # The first that was left alone came after all that were meant.
    assert untouched == list(range(done, number))
    assert done >= 450
    if verb == "retry":
        jobs = client.peek("mail", 0, number)
        assert [job["args"][0] for job in jobs] == list(range(done))


def test_clear_removes_all_failures_or_the_retried(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    first, second = add_failure(redis, 1), add_failure(redis, 2)
    run("failed", "retry", first)
    result = run("failed", "clear", "--retried", "--yes")
    assert result.stdout == "removed 1 failure\n"
    assert [failure.id for failure in client.failures.page()] == [second]
    assert run("failed", "clear", "--yes").stdout == "removed 1 failure\n"
    assert client.failures.count() == 0


def test_one_unknown_id_and_nothing_is_done(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    failure_id = add_failure(redis)
    unknown = "0" * 12 if failure_id != "0" * 12 else "1" * 12
    result = run("failed", "retry", failure_id, unknown, fails=resqued.ResquedError)
    assert str(result.exception) == (
        f"there is no failure {unknown}; `resqued failed` lists them"
    )
    assert client.size("mail") == 0


def test_an_id_that_means_several_failures_is_refused(
    run: Run, redis: redis_py.Redis
) -> None:
    ids: dict[str, str] = {}
    for number in range(10_000):
        entry = f'{{"number":{number}}}'.encode()
        failure_id = resqued.Failure(entry).id
        twin = ids.setdefault(failure_id[:4], failure_id)
        if twin != failure_id:
            break
    for number in range(10_000):
        entry = f'{{"number":{number}}}'.encode()
        if resqued.Failure(entry).id in (twin, failure_id):
            redis.rpush(f"{NS}failed", entry)
    result = run("failed", "show", failure_id[:4], fails=resqued.ResquedError)
    some = ", ".join(sorted((twin, failure_id)))
    assert str(result.exception) == f"id {failure_id[:4]} means 2 failures: {some}"
    run("failed", "show", failure_id)
