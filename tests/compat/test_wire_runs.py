"""Wire cases of jobs that run: what a worker leaves, from registration to exit."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.compat.dump import holds
from tests.compat.wire import (
    BOOM_1,
    FAILED_ONCE,
    HOLD,
    LIVING,
    LOCK,
    OK_1,
    Site,
    deviates,
    entry,
    failed,
)

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

QUEUES = {"resque:queues": "set {default}"}
BAD_THING = ("ValueError", "bad thing", "<BT>")


@pytest.fixture
def site(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Site:
    return Site(redis, redis_url, tmp_path)


def lock(queues: str) -> dict[str, str]:
    return {key: text.replace("default", queues) for key, text in LOCK.items()}


# Ruby registers first and beats when its thread comes to it; here it is one step.
@deviates("prune-lock", "identity")
def test_a_worker_registers_and_writes_a_heartbeat(site: Site) -> None:
    with site.daemon() as daemon:
        daemon.wait_for_event("master_ready")
        site.know(daemon)
        assert site.dump() == LOCK | holds("""
            resque:worker:<me>:default:started = string <S>
            resque:workers = set {<me>:default}
            resque:workers:heartbeat = hash {<me>:default => <H>}
            resque:resqued:workers = hash {<me>:default => <identity>}
        """)
    assert site.dump() == LOCK


@deviates("prune-lock", "identity")
def test_a_job_that_is_done_is_counted_and_its_record_is_gone(site: Site) -> None:
    site.push("default", OK_1)
    with site.daemon() as daemon:
        site.wait_for("resque:stat:processed", b"1")
        site.know(daemon)
        assert site.dump() == LIVING | QUEUES | LOCK | holds("""
            resque:stat:processed = string 1
            resque:stat:processed:<me>:default = string 1
        """)


@deviates("prune-lock", "identity", "names")
def test_a_failure_is_counted_as_processed_and_as_failed(site: Site) -> None:
    site.push("default", BOOM_1)
    with site.daemon() as daemon:
        site.wait_for("resque:stat:failed", b"1")
        site.know(daemon)
        counters = holds("""
            resque:stat:failed = string 1
            resque:stat:failed:<me>:default = string 1
            resque:stat:processed = string 1
            resque:stat:processed:<me>:default = string 1
        """)
        failures = failed(entry('{"class":"Boom","args":[1]}', *BAD_THING))
        assert site.dump() == LIVING | QUEUES | LOCK | counters | failures


@deviates("prune-lock", "identity", "record-bytes")
def test_the_record_holds_the_payload_while_a_job_runs(site: Site) -> None:
    site.push("default", b'{ "args" : [1e3], "class" : "Hold" }')
    with site.daemon() as daemon:
        site.wait_for_job()
        site.know(daemon)
        assert site.dump() == LIVING | QUEUES | LOCK | {
            "resque:worker:<me>:default": (
                'string {"queue":"default","run_at":"<Z>"'
                ',"payload":{ "args" : [1e3], "class" : "Hold" }}'
            )
        }
        site.release()


@deviates("prune-lock", "buried-at-once", "counts")
def test_a_worker_that_dies_with_a_job_leaves_a_failure(site: Site) -> None:
    site.push("default", HOLD)
    with site.daemon() as daemon:
        site.wait_for_job()
        worker = site.know(daemon)
        (pid,) = daemon.workers()
        assert worker.endswith(f":{pid}")
        os.kill(pid, signal.SIGKILL)
        site.wait_for("resque:stat:failed", b"1")
    error = "Worker <me>:default died of SIGKILL (signal 9) while processing Hold"
    failures = failed(entry(HOLD.decode(), "Resque::DirtyExit", error))
    assert site.dump() == QUEUES | LOCK | FAILED_ONCE | failures


@deviates("prune-lock")
def test_a_successful_job_leaves_its_count_and_no_more(site: Site) -> None:
    site.push("default", OK_1)
    site.work()
    assert site.dump() == LOCK | holds("""
        resque:queues = set {default}
        resque:stat:processed = string 1
    """)


@deviates("prune-lock", "names")
def test_further_keys_of_a_payload_stand_in_its_failure(site: Site) -> None:
    site.push("default", b'{"args":[1],"id":"a","class":"Boom"}')
    site.work()
    failures = failed(entry('{"args":[1],"id":"a","class":"Boom"}', *BAD_THING))
    assert site.dump() == QUEUES | LOCK | FAILED_ONCE | failures


@deviates("prune-lock", "counts")
def test_a_child_that_a_signal_kills_leaves_a_failure(site: Site) -> None:
    site.push("default", b'{"class":"Die9","args":[]}')
    site.work()
    error = "Child process received unhandled signal pid <P> SIGKILL (signal 9)"
    failures = failed(entry('{"class":"Die9","args":[]}', "Resque::DirtyExit", error))
    assert site.dump() == QUEUES | LOCK | FAILED_ONCE | failures


@deviates("exit-status", "counts")
def test_a_child_that_exits_with_a_status_leaves_a_failure(site: Site) -> None:
    site.push("default", *(b'{"class":"DieN","args":[%d]}' % n for n in (0, 3)))
    site.work()
    failures = failed(
        entry(
            '{"class":"DieN","args":[3]}',
            "Resque::DirtyExit",
            "Child process pid <P> exited with status 3",
        )
    )
    counts = {"resque:stat:processed": "string 2", "resque:stat:failed": "string 1"}
    assert site.dump() == QUEUES | LOCK | counts | failures


@deviates("prune-lock", "names")
def test_a_job_that_calls_exit_is_an_ordinary_failure(site: Site) -> None:
    site.push(
        "default", b'{"class":"SysEx","args":[]}', b'{"class":"SysEx","args":[0]}'
    )
    site.work()
    failures = failed(
        entry('{"class":"SysEx","args":[]}', "SystemExit", "sys.exit(None)", "<BT>"),
        entry('{"class":"SysEx","args":[0]}', "SystemExit", "sys.exit(0)", "<BT>"),
    )
    counts = {"resque:stat:processed": "string 2", "resque:stat:failed": "string 2"}
    assert site.dump() == QUEUES | LOCK | counts | failures


@deviates("prune-lock", "names")
def test_a_job_of_an_unknown_class_fails(site: Site) -> None:
    site.push("default", b'{"class":"Nope","args":[1]}')
    site.work()
    error = "Nope is not a job of this application (its modules: tests.compat.jobs)"
    failures = failed(
        entry(
            '{"class":"Nope","args":[1]}',
            "resqued.errors.JobClassError",
            error,
            "<BT>",
        )
    )
    assert site.dump() == QUEUES | LOCK | FAILED_ONCE | failures


@deviates("class-names")
def test_a_class_is_found_by_its_exact_name_only(site: Site) -> None:
    names = ("tests.compat.jobs.ByPath", "Nested::Boom", "::Ok", "by-path", "ok")
    site.push("default", *(f'{{"class":"{name}"}}'.encode() for name in names))
    site.work()
    found = [f.fields["exception"] for f in site.client.failures.oldest_first()]
    error = "resqued.errors.JobClassError"
    assert found == ["tests.compat.jobs.OutOfPaper", error, error, error]


def malformed(payload: str, error: str, queue: str = "default") -> str:
    worker = f"<me>:{queue}"
    return entry(payload, "Resqued::PayloadError", error, worker=worker)


@deviates("prune-lock", "malformed", "counts")
def test_null_is_a_failure_and_the_next_queue_is_served(site: Site) -> None:
    site.push("default", b"null")
    site.push("low", OK_1)
    site.work("default,low")
    error = "payload is not an object but null"
    failures = failed(malformed("null", error, "default,low"))
    assert site.dump() == lock("default,low") | failures | holds("""
        resque:queues = set {default | low}
        resque:stat:failed = string 1
        resque:stat:processed = string 2
    """)


@deviates("prune-lock", "malformed", "counts")
def test_what_is_not_json_is_kept_and_the_worker_goes_on(site: Site) -> None:
    site.push("default", b"{nope", OK_1)
    site.work()
    error = "payload is not JSON: Expecting property name enclosed in double quotes"
    failures = failed(malformed('"{nope"', f"{error}: line 1 column 2 (char 1)"))
    assert site.dump() == QUEUES | LOCK | failures | holds("""
        resque:stat:failed = string 1
        resque:stat:processed = string 2
    """)


# An element, and what the failure says and keeps of it.
NO_JOBS = [
    (b"[1]", "payload is not an object but a list", "[1]"),
    (b"5", "payload is not an object but a number", "5"),
    (b'"text"', "payload is not an object but a string", '"text"'),
    (b"{}", "payload names no class", "{}"),
    (b'{"class":"","args":[]}', "payload names no class", '{"class":"","args":[]}'),
    (
        b'{"class":"Ok","args":["caf\xe9"]}',
        (
            "payload is not UTF-8: invalid continuation byte at byte 26"
            " (its bytes are kept as Latin-1)"
        ),
        r'"{\"class\":\"Ok\",\"args\":[\"café\"]}"',
    ),
    (
        b'{"class":"Ok","args":[NaN]}',
        "payload is not JSON: NaN is not JSON",
        r'"{\"class\":\"Ok\",\"args\":[NaN]}"',
    ),
    (
        b'{"class":"Ok"} // a comment',
        "payload is not JSON: more than one value: the second at character 14",
        r'"{\"class\":\"Ok\"} // a comment"',
    ),
]


@deviates("malformed", "counts")
def test_every_element_that_is_no_job_becomes_one_failure(site: Site) -> None:
    site.push("default", *(raw for raw, _, _ in NO_JOBS), OK_1)
    site.work()
    count = len(NO_JOBS)
    assert site.dump() == QUEUES | LOCK | {
        "resque:stat:failed": f"string {count}",
        "resque:stat:processed": f"string {count + 1}",
    } | failed(*(malformed(kept, error) for _, error, kept in NO_JOBS))


@deviates("prune-lock", "names")
def test_a_star_serves_queues_in_byte_order(site: Site) -> None:
    for queue in "baB":
        site.push(queue, f'{{"class":"Boom","args":["{queue}"]}}'.encode())
    site.work("*")
    failures = failed(
        *(
            entry(
                f'{{"class":"Boom","args":["{queue}"]}}',
                *BAD_THING,
                worker="<me>:*",
                queue=queue,
            )
            for queue in "Bab"
        )
    )
    assert site.dump() == lock("*") | failures | holds("""
        resque:queues = set {B | a | b}
        resque:stat:failed = string 3
        resque:stat:processed = string 3
    """)


def test_a_queue_name_that_is_not_utf8_stops_no_worker(site: Site) -> None:
    site.redis.sadd("resque:queues", b"caf\xe9")
    site.redis.rpush(b"resque:queue:caf\xe9", OK_1)
    site.push("default", OK_1)
    site.work("*")
    assert site.redis.get("resque:stat:processed") == b"2"


@deviates("prune-lock", "names")
def test_excluded_queues_are_not_served_and_not_in_the_id(site: Site) -> None:
    site.push("a1", OK_1)
    site.push("b", BOOM_1)
    site.work("*,!a*")
    boom = entry(BOOM_1.decode(), *BAD_THING, worker="<me>:*", queue="b")
    assert site.dump() == lock("*") | failed(boom) | FAILED_ONCE | holds("""
        resque:queue:a1 = list:
          [0] {"class":"Ok","args":[1]}
        resque:queues = set {a1 | b}
    """)


@deviates("prune-lock")
def test_a_queue_that_is_not_in_the_set_is_served_by_its_name(site: Site) -> None:
    site.redis.rpush("resque:queue:lit", OK_1)
    site.work("lit")
    assert site.dump() == lock("lit") | {"resque:stat:processed": "string 1"}


@deviates("prune-lock")
def test_pause_all_workers_holds_every_job(site: Site) -> None:
    site.push("default", OK_1)
    site.redis.set("resque:pause-all-workers", " TRUE ")
    site.work()
    pause = {"resque:pause-all-workers": "string  TRUE "}
    assert site.dump() == QUEUES | LOCK | pause | holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[1]}
    """)


@pytest.mark.parametrize("value", ["1", "yes", "", "true x"])
def test_other_values_of_pause_all_workers_do_not_pause(site: Site, value: str) -> None:
    site.push("default", OK_1)
    site.redis.set("resque:pause-all-workers", value)
    site.work()
    assert site.redis.get("resque:stat:processed") == b"1"


@deviates("prune-lock", "names")
def test_numbers_are_encoded_again_on_their_way_to_failed(site: Site) -> None:
    numbers = b'[1.0,1e3,1.10,12345678901234567890,1e20,"\\u00e9\\/"]'
    site.push("default", b'{"class":"Boom","args":%s}' % numbers)
    site.work()
    anew = '[1.0,1000.0,1.1,12345678901234567890,1.0e+20,"é/"]'
    failures = failed(entry(f'{{"class":"Boom","args":{anew}}}', *BAD_THING))
    assert site.dump() == QUEUES | LOCK | FAILED_ONCE | failures


@deviates("clipped")
def test_a_message_of_megabytes_is_cut(site: Site) -> None:
    site.push("default", b'{"class":"Long","args":[]}')
    site.work()
    (raw,) = site.redis.lrange("resque:failed", 0, -1)
    assert len(raw) < 80_000
    (failure,) = site.client.failures.page()
    assert failure.fields["error"].startswith("x" * 16_000 + " … (")


@deviates("names")
def test_a_failure_without_a_message_names_its_class(site: Site) -> None:
    site.push("default", b'{"class":"Nested::Boom","args":[]}')
    site.work()
    (failure,) = site.client.failures.page()
    assert failure.fields["exception"] == "tests.compat.jobs.OutOfPaper"
    assert failure.fields["error"] == "OutOfPaper"
    backtrace = failure.fields["backtrace"]
    assert backtrace[0] == "Traceback (most recent call last):"
    assert backtrace[-1] == "tests.compat.jobs.OutOfPaper"
    assert not any("resqued/child.py" in line for line in backtrace)


@deviates("host-names")
def test_a_colon_in_a_host_name_is_a_dash_in_the_id(site: Site) -> None:
    options = site.configure('[worker]\nhostname = "fd00::1"\n')
    with site.daemon(*options) as daemon:
        daemon.wait_for_event("master_ready")
        (pid,) = daemon.workers()
        workers = site.redis.smembers("resque:workers")
        assert workers == {f"fd00--1:{pid}:default".encode()}
