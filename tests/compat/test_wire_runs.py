"""Wire cases of jobs that run: what a worker leaves, from registration to exit."""

from __future__ import annotations

import os
import signal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import redis as redis_py

from resqued import Failure
from tests.compat.dump import holds
from tests.compat.wire import (
    BOOM_1,
    FAILED_ONCE,
    HOLD,
    LIVING,
    OK_1,
    Case,
    deviates,
    entry,
    failed,
    no_job,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from resqued.system.redis_server import EmbeddedServer

pytestmark = pytest.mark.server_semantics

QUEUES = {"resque:queues": "set {default}"}
BAD_THING = ("ValueError", "bad thing", "<BT>")
PAYLOAD_ERROR = "Resqued::PayloadError"


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


# Ruby registers first and beats when its thread comes to it; here it is one step.
@deviates("prune-lock", "identity")
def test_a_worker_registers_and_writes_a_heartbeat(case: Case) -> None:
    with case.daemon() as daemon:
        daemon.wait_for_event("master_ready")
        case.know(daemon)
        assert case.dump() == holds("""
            resque:worker:<me>:default:started = string <S>
            resque:workers = set {<me>:default}
            resque:workers:heartbeat = hash {<me>:default => <H>}
            resque:resqued:workers = hash {<me>:default => <identity>}
        """)
    assert case.dump() == {}


@deviates("prune-lock", "identity")
def test_a_job_that_is_done_is_counted_and_its_record_is_gone(case: Case) -> None:
    case.push("default", OK_1)
    with case.daemon() as daemon:
        case.wait_for("resque:stat:processed", b"1")
        case.know(daemon)
        assert case.dump() == LIVING | QUEUES | holds("""
            resque:stat:processed = string 1
            resque:stat:processed:<me>:default = string 1
        """)


@deviates("prune-lock", "identity", "names")
def test_a_failure_is_counted_as_processed_and_as_failed(case: Case) -> None:
    case.push("default", BOOM_1)
    with case.daemon() as daemon:
        case.wait_for("resque:stat:failed", b"1")
        case.know(daemon)
        counters = holds("""
            resque:stat:failed = string 1
            resque:stat:failed:<me>:default = string 1
            resque:stat:processed = string 1
            resque:stat:processed:<me>:default = string 1
        """)
        failures = failed(entry('{"class":"Boom","args":[1]}', *BAD_THING))
        assert case.dump() == LIVING | QUEUES | counters | failures


@deviates("prune-lock", "identity", "record-bytes")
def test_the_record_holds_the_payload_while_a_job_runs(case: Case) -> None:
    case.push("default", b'{ "args" : [1e3], "class" : "Hold" }')
    with case.daemon() as daemon:
        case.wait_for_job()
        case.know(daemon)
        assert case.dump() == LIVING | QUEUES | {
            "resque:worker:<me>:default": (
                'string {"queue":"default","run_at":"<Z>"'
                ',"payload":{ "args" : [1e3], "class" : "Hold" }}'
            )
        }
        case.release()


@deviates("prune-lock", "buried-at-once", "counts")
def test_a_worker_that_dies_with_a_job_leaves_a_failure(case: Case) -> None:
    case.push("default", HOLD)
    with case.daemon() as daemon:
        case.wait_for_job()
        worker = case.know(daemon)
        (pid,) = daemon.workers()
        assert worker.endswith(f":{pid}")
        os.kill(pid, signal.SIGKILL)
        case.wait_for("resque:stat:failed", b"1")
    error = "Worker <me>:default died of SIGKILL (signal 9) while processing Hold"
    failures = failed(entry(HOLD.decode(), "Resque::DirtyExit", error))
    assert case.dump() == QUEUES | FAILED_ONCE | failures


@deviates("prune-lock")
def test_a_successful_job_leaves_its_count_and_no_more(case: Case) -> None:
    case.push("default", OK_1)
    case.work()
    assert case.dump() == holds("""
        resque:queues = set {default}
        resque:stat:processed = string 1
    """)


@deviates("prune-lock", "malformed", "counts")
def test_null_is_a_failure_and_the_next_queue_is_served(case: Case) -> None:
    case.push("default", b"null")
    case.push("low", OK_1)
    case.work("default,low")
    error = "payload is not an object but null"
    worker = "<me>:default,low"
    failures = failed(entry(no_job("null"), PAYLOAD_ERROR, error, worker=worker))
    assert case.dump() == failures | holds("""
        resque:queues = set {default | low}
        resque:stat:failed = string 1
        resque:stat:processed = string 2
    """)


@deviates("prune-lock", "names")
def test_a_star_serves_queues_in_byte_order(case: Case) -> None:
    for queue in "baB":
        case.push(queue, f'{{"class":"Boom","args":["{queue}"]}}'.encode())
    case.work("*")
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
    assert case.dump() == failures | holds("""
        resque:queues = set {B | a | b}
        resque:stat:failed = string 3
        resque:stat:processed = string 3
    """)


def test_a_queue_name_that_is_not_utf8_stops_no_worker(case: Case) -> None:
    case.redis.sadd("resque:queues", b"caf\xe9")
    case.redis.rpush(b"resque:queue:caf\xe9", OK_1)
    case.push("default", OK_1)
    case.work("*")
    assert case.redis.get("resque:stat:processed") == b"2"


@deviates("prune-lock", "names")
def test_excluded_queues_are_not_served_and_not_in_the_id(case: Case) -> None:
    case.push("a1", OK_1)
    case.push("b", BOOM_1)
    case.work("*,!a*")
    boom = entry(BOOM_1.decode(), *BAD_THING, worker="<me>:*", queue="b")
    assert case.dump() == failed(boom) | FAILED_ONCE | holds("""
        resque:queue:a1 = list:
          [0] {"class":"Ok","args":[1]}
        resque:queues = set {a1 | b}
    """)


@deviates("prune-lock")
def test_a_queue_that_is_not_in_the_set_is_served_by_its_name(case: Case) -> None:
    case.redis.rpush("resque:queue:lit", OK_1)
    case.work("lit")
    assert case.dump() == {"resque:stat:processed": "string 1"}


@deviates("prune-lock")
def test_pause_all_workers_holds_every_job(case: Case) -> None:
    case.push("default", OK_1)
    case.redis.set("resque:pause-all-workers", " TRUE ")
    case.work()
    pause = {"resque:pause-all-workers": "string  TRUE "}
    assert case.dump() == QUEUES | pause | holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[1]}
    """)


def test_other_values_of_pause_all_workers_do_not_pause(case: Case) -> None:
    with case.daemon():
        for number, value in enumerate(("1", "yes", "", "true x"), start=1):
            case.redis.set("resque:pause-all-workers", value)
            case.push("default", OK_1)
            case.wait_for("resque:stat:processed", b"%d" % number)


@deviates("host-names")
def test_a_colon_in_a_host_name_is_a_dash_in_the_id(case: Case) -> None:
    options = case.configure('[worker]\nhostname = "fd00::1"\n')
    with case.daemon(*options) as daemon:
        daemon.wait_for_event("master_ready")
        (pid,) = daemon.workers()
        workers = case.redis.smembers("resque:workers")
        assert workers == {f"fd00--1:{pid}:default".encode()}


# Jobs that one worker runs, each case on a queue of its own

# An element, and what the failure says of it.
NO_JOBS = [
    (b"[1]", "payload is not an object but a list"),
    (b"5", "payload is not an object but a number"),
    (b'"text"', "payload is not an object but a string"),
    (b"{}", "payload names no class"),
    (b'{"class":"","args":[]}', "payload names no class"),
    (
        b'{"class":"Ok","args":["caf\xe9"]}',
        (
            "payload is not UTF-8: invalid continuation byte at byte 26"
            " (its bytes are kept as Latin-1)"
        ),
    ),
    (b'{"class":"Ok","args":[NaN]}', "payload is not JSON: NaN is not JSON"),
    (
        b'{"class":"Ok"} // a comment',
        "payload is not JSON: more than one value: the second at character 14",
    ),
]

# What stands on the queue of each case.
CASES: dict[str, list[bytes]] = {
    "further-keys": [b'{"args":[1],"id":"a","class":"Boom"}'],
    "killed": [b'{"class":"Die9","args":[]}'],
    "exits": [b'{"class":"DieN","args":[%d]}' % n for n in (0, 3)],
    "raises-exit": [b'{"class":"SysEx","args":[]}', b'{"class":"SysEx","args":[0]}'],
    "unknown": [b'{"class":"Nope","args":[1]}'],
    "exact-name": [
        b'{"class":"%s"}' % name
        for name in (
            *(b"tests.compat.jobs.ByPath", b"Nested::Boom", b"::Ok", b"by-path", b"ok"),
        )
    ],
    "no-json": [b"{nope", OK_1],
    "no-jobs": [*(raw for raw, _ in NO_JOBS), OK_1],
    "numbers": [
        b'{"class":"Boom","args":[1.0,1e3,1.10,12345678901234567890,1e20,"\\u00e9\\/"]}'
    ],
    "megabytes": [b'{"class":"Long","args":[]}'],
    "no-message": [b'{"class":"Nested::Boom","args":[]}'],
}
# All but the child that exits with 0, the job that is named by its path, and two Ok.
FAILED = sum(map(len, CASES.values())) - 4


class Burst(NamedTuple):
    """What Redis holds after all of them, and the failures as a client has them."""

    dump: dict[str, str]
    failures: list[Failure]

    def entries(self, queue: str) -> list[str]:
        """Return the failures of a case, as a dump has them."""
        lines = self.dump["resque:failed"].splitlines()[1:]
        entries = (line.partition("] ")[2] for line in lines)
        return [each for each in entries if each.endswith(f',"queue":"{queue}"}}')]

    def fields(self, queue: str) -> list[dict[str, Any]]:
        """Return the failures of a case, decoded."""
        return [f.fields for f in self.failures if f.fields["queue"] == queue]


@pytest.fixture(scope="module")
def burst_with(
    server_of: Callable[[str], EmbeddedServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Burst]:
    """Run all cases with a kind of server, the first time that one is asked for."""

    @cache
    def run(kind: str) -> Burst:
        url = server_of(kind).url
        with redis_py.Redis.from_url(url) as redis:
            redis.flushall()
            case = Case(redis, url, tmp_path_factory.mktemp("burst"))
            for queue, payloads in CASES.items():
                case.push(queue, *payloads)
            case.work("*")
            return Burst(case.dump(), list(case.client.failures.oldest_first()))

    return run


@pytest.fixture
def burst(burst_with: Callable[[str], Burst], server_kind: str) -> Burst:
    return burst_with(server_kind)


def failure(payload: str, *how: str, queue: str) -> str:
    return entry(payload, *how, worker="<me>:*", queue=queue)


@deviates("prune-lock", "counts")
def test_every_job_is_counted_and_nothing_else_is_left(burst: Burst) -> None:
    rest = {key: text for key, text in burst.dump.items() if key != "resque:failed"}
    assert rest == {
        "resque:queues": f"set {{{' | '.join(sorted(CASES))}}}",
        "resque:stat:processed": f"string {sum(map(len, CASES.values()))}",
        "resque:stat:failed": f"string {FAILED}",
    }
    assert len(burst.failures) == FAILED


@deviates("names")
def test_further_keys_of_a_payload_stand_in_its_failure(burst: Burst) -> None:
    payload = '{"args":[1],"id":"a","class":"Boom"}'
    expected = failure(payload, *BAD_THING, queue="further-keys")
    assert burst.entries("further-keys") == [expected]


def test_a_child_that_a_signal_kills_leaves_a_failure(burst: Burst) -> None:
    error = "Child process received unhandled signal pid <P> SIGKILL (signal 9)"
    payload = '{"class":"Die9","args":[]}'
    expected = failure(payload, "Resque::DirtyExit", error, queue="killed")
    assert burst.entries("killed") == [expected]


@deviates("exit-status")
def test_a_child_that_exits_with_a_status_leaves_a_failure(burst: Burst) -> None:
    error = "Child process pid <P> exited with status 3"
    payload = '{"class":"DieN","args":[3]}'
    expected = failure(payload, "Resque::DirtyExit", error, queue="exits")
    assert burst.entries("exits") == [expected]


@deviates("names")
def test_a_job_that_calls_exit_is_an_ordinary_failure(burst: Burst) -> None:
    assert burst.entries("raises-exit") == [
        failure(
            f'{{"class":"SysEx","args":[{args}]}}',
            *("SystemExit", f"sys.exit({said})", "<BT>"),
            queue="raises-exit",
        )
        for args, said in (("", "None"), ("0", "0"))
    ]


@deviates("names")
def test_a_job_of_an_unknown_class_fails(burst: Burst) -> None:
    error = "Nope is not a job of this application (its modules: tests.compat.jobs)"
    payload = '{"class":"Nope","args":[1]}'
    how = ("resqued.errors.JobClassError", error, "<BT>")
    assert burst.entries("unknown") == [failure(payload, *how, queue="unknown")]


@deviates("class-names")
def test_a_class_is_found_by_its_exact_name_only(burst: Burst) -> None:
    found = [fields["exception"] for fields in burst.fields("exact-name")]
    error = "resqued.errors.JobClassError"
    assert found == ["tests.compat.jobs.OutOfPaper", error, error, error]


@deviates("malformed")
def test_what_is_not_json_is_kept_and_the_worker_goes_on(burst: Burst) -> None:
    error = "payload is not JSON: Expecting property name enclosed in double quotes"
    how = (PAYLOAD_ERROR, f"{error}: line 1 column 2 (char 1)")
    assert burst.entries("no-json") == [failure(no_job("{nope"), *how, queue="no-json")]


@deviates("malformed")
def test_every_element_that_is_no_job_becomes_one_failure(burst: Burst) -> None:
    assert burst.entries("no-jobs") == [
        failure(no_job(raw.decode("latin-1")), PAYLOAD_ERROR, error, queue="no-jobs")
        for raw, error in NO_JOBS
    ]


@deviates("names")
def test_numbers_are_encoded_again_on_their_way_to_failed(burst: Burst) -> None:
    numbers = '[1.0,1000.0,1.1,12345678901234567890,1.0e+20,"é/"]'
    payload = f'{{"class":"Boom","args":{numbers}}}'
    assert burst.entries("numbers") == [failure(payload, *BAD_THING, queue="numbers")]


@deviates("clipped")
def test_a_message_of_megabytes_is_cut(burst: Burst) -> None:
    (found,) = (f for f in burst.failures if f.fields["queue"] == "megabytes")
    assert len(found.entry) < 80_000
    assert found.fields["error"].startswith("x" * 16_000 + " … (")


@deviates("names")
def test_a_failure_without_a_message_names_its_class(burst: Burst) -> None:
    (fields,) = burst.fields("no-message")
    assert fields["exception"] == "tests.compat.jobs.OutOfPaper"
    assert fields["error"] == "OutOfPaper"
    backtrace = fields["backtrace"]
    assert backtrace[0] == "Traceback (most recent call last):"
    assert backtrace[-1] == "tests.compat.jobs.OutOfPaper"
    assert not any("resqued/child.py" in line for line in backtrace)
