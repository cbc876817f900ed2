"""Wire cases of the registry: heartbeats, pruning, and workers that died."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tests.compat.dump import holds
from tests.compat.wire import (
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
from tests.support.processes import title
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

    from tests.support.daemon import Daemon

pytestmark = pytest.mark.server_semantics

QUEUES = {"resque:queues": "set {default}"}
PRUNED = "Resque::PruneDeadWorkerDirtyExit"
HOST = socket.gethostname()

# What a Ruby worker that starts looks for in `ps -A -o pid,command`.
RUBY_SEES = re.compile(r"resque:work|resque:\sStarting|resque-[0-9]")


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


def beat(ago: float) -> str:
    """Return a heartbeat of some seconds ago."""
    return datetime.fromtimestamp(time.time() - ago, UTC).isoformat(timespec="seconds")


def ruby_worker(case: Case, worker: str, *, silent_for: float, record: str = "") -> str:
    """Register a worker as Ruby does; return its last heartbeat."""
    heartbeat = beat(silent_for)
    case.redis.sadd("resque:workers", worker)
    case.redis.hset("resque:workers:heartbeat", worker, heartbeat)
    if record:
        case.redis.set(f"resque:worker:{worker}", record)
        case.redis.set(f"resque:worker:{worker}:started", "2026-11-23 00:00:00 +0000")
        case.redis.set(f"resque:stat:processed:{worker}", 3)
    return heartbeat


BUSY = (
    '{"queue":"x","run_at":"2026-11-23T00:00:00Z","payload":{"class":"Ok","args":[1]}}'
)


@deviates("counts")
def test_a_busy_worker_that_is_removed_leaves_a_failure(case: Case) -> None:
    case.redis.sadd("resque:workers", "far:1:x")
    case.redis.set("resque:worker:far:1:x", BUSY)
    code, said = case.command("workers", "remove", "far:1:x")
    assert code == 0, said
    error = "Job still being processed"
    dirty = entry(
        OK_1.decode(), "Resque::DirtyExit", error, worker="far:1:x", queue="x"
    )
    assert case.dump() == FAILED_ONCE | failed(dirty)


def test_a_worker_that_is_not_there_cannot_be_removed(case: Case) -> None:
    code, said = case.command("workers", "remove", "far:1:x")
    assert (code, "Traceback" in said) == (1, False)
    assert case.dump() == {}


@deviates("prune-lock", "counts")
def test_a_busy_worker_whose_heartbeat_is_over_300_s_old_is_pruned(case: Case) -> None:
    ruby_worker(case, "far:1:x", silent_for=400, record=BUSY)
    case.work()
    error = "Worker far:1:x did not gracefully exit while processing Ok"
    pruned = entry(OK_1.decode(), PRUNED, error, worker="far:1:x", queue="x")
    assert case.dump() == FAILED_ONCE | failed(pruned)


@deviates("prune-lock")
def test_an_idle_worker_that_is_pruned_leaves_nothing(case: Case) -> None:
    ruby_worker(case, "far:1:x", silent_for=400)
    case.redis.hset("resque:workers:heartbeat", "far:2:y", beat(400))
    case.work()
    assert case.dump() == {}


@deviates("prune-lock")
def test_a_worker_whose_heartbeat_is_200_s_old_is_left_alone(case: Case) -> None:
    heartbeat = ruby_worker(case, "far:1:x", silent_for=200)
    case.work()
    assert case.dump() == {
        "resque:workers": "set {far:1:x}",
        "resque:workers:heartbeat": f"hash {{far:1:x => {heartbeat}}}",
    }


@deviates("prune-lock", "foreign-workers")
@pytest.mark.parametrize("queues", ["a", "a,b"])
def test_a_worker_that_never_wrote_a_heartbeat_is_left_alone(
    case: Case, queues: str
) -> None:
    # Ruby goes by `ps` if the queues are the same, by nothing if they are not.
    case.redis.sadd("resque:workers", f"{HOST}:999999:a")
    case.work(queues)
    assert case.dump() == {"resque:workers": "set {<host>:999999:a}"}


def test_nothing_is_pruned_while_the_lock_is_held(case: Case) -> None:
    heartbeat = ruby_worker(case, "far:1:x", silent_for=400)
    case.redis.set("resque:pruning_dead_workers_in_progress", "someone", ex=60, nx=True)
    case.work()
    assert case.dump() == {
        "resque:pruning_dead_workers_in_progress": "string someone (TTL about 60)",
        "resque:workers": "set {far:1:x}",
        "resque:workers:heartbeat": f"hash {{far:1:x => {heartbeat}}}",
    }


NODE_RUN_AT = "Mon Nov 23 2026 12:01:44 GMT+0000 (Coordinated Universal Time)"


@deviates("foreign-workers", "prune-lock", "counts")
def test_a_node_worker_is_judged_by_its_ping(case: Case) -> None:
    now = int(time.time())
    for pid, silent_for in ((1, 3000), (2, 4000)):
        name, job = f"far:{pid}", '{"class":"Ok","args":{},"queue":"default"}'
        ping = {"time": now - silent_for, "name": name, "queues": "default"}
        record = (
            f'{{"run_at":"{NODE_RUN_AT}","worker":"{name}","payload":{job}'
            ',"queue":"default"}'
        )
        case.redis.sadd("resque:workers", f"{name}:default")
        case.redis.set(f"resque:worker:{name}:default", record)
        case.redis.set(f"resque:worker:ping:{name}", json.dumps(ping))
        case.redis.set(f"resque:stat:processed:{name}", 3)
        case.redis.set(f"resque:stat:failed:{name}", 1)
    case.work()
    dump = case.dump()
    error = "Worker far:2:default did not gracefully exit while processing Ok"
    assert failed(entry(job, PRUNED, error, worker="far:2:default")).items() <= (
        dump.items()
    )
    assert not [key for key in dump if "far:2" in key]
    assert (
        dump.items()
        >= {
            "resque:workers": "set {far:1:default}",
            "resque:stat:processed:far:1": "string 3",
            "resque:stat:failed:far:1": "string 1",
            **FAILED_ONCE,
        }.items()
    )
    assert "resque:worker:ping:far:1" in dump


def kill_all(case: Case, daemon: Daemon) -> None:
    """Kill a master and its busy worker, which leaves all in Redis as it is."""
    case.know(daemon, me="<old>", master="<old master>")
    (worker,) = daemon.workers()
    os.kill(daemon.pid, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    daemon.wait()
    assert case.redis.hlen("resque:resqued:workers") == 1


@deviates("own-dead", "prune-lock", "counts")
@pytest.mark.parametrize("is_locked", [False, True])
def test_a_worker_that_died_on_this_machine_is_pruned_at_once(
    case: Case, is_locked: bool
) -> None:
    case.push("default", HOLD)
    with case.daemon() as daemon:
        case.wait_for_job()
        kill_all(case, daemon)
    lock = {}
    if is_locked:
        # Some seconds ago: whoever has it does not prune any more.
        case.redis.set("resque:pruning_dead_workers_in_progress", "someone", ex=55)
        lock = {
            "resque:pruning_dead_workers_in_progress": "string someone (TTL about 60)"
        }
    case.work()
    error = "Worker <old>:default died while processing Hold"
    died = entry(HOLD.decode(), "Resque::DirtyExit", error, worker="<old>:default")
    assert case.dump() == QUEUES | lock | FAILED_ONCE | failed(died)


@deviates("orphans", "prune-lock", "reasons")
def test_a_worker_without_its_master_ends_its_job_and_leaves(case: Case) -> None:
    case.push("default", HOLD, OK_1)
    with case.daemon(*case.configure("[worker]\norphan_grace = 0.2\n")) as daemon:
        case.wait_for_job()
        case.know(daemon)
        os.kill(daemon.pid, signal.SIGKILL)
        case.wait_for("resque:stat:failed", b"1")
    ended = entry(
        HOLD.decode(), "Resque::TermException", "SIGTERM: its master is gone", "<BT>"
    )
    assert case.dump() == QUEUES | FAILED_ONCE | failed(ended) | holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[1]}
    """)


def test_a_starting_ruby_worker_finds_our_workers_in_ps(case: Case) -> None:
    def is_titled(pattern: str) -> bool:
        found = title(worker)
        assert RUBY_SEES.search(found)
        assert "resque-web" not in found
        return re.fullmatch(rf"resque-\d\S*: {pattern}", found) is not None

    with case.daemon() as daemon:
        daemon.wait_for_event("master_ready")
        (worker,) = daemon.workers()
        wait_until(lambda: is_titled("Waiting for default"))
        case.push("default", HOLD)
        case.wait_for_job()
        wait_until(lambda: is_titled(r"Forked \d+ at \d+"))
        titles = [title(pid) for pid in daemon.children(worker)]
        busy = r"resque-\d\S*: Processing default since \d+ \[Hold\]"
        assert any(re.fullmatch(busy, found) for found in titles)
        assert all(RUBY_SEES.search(found) for found in titles)
        case.release()


def test_heartbeats_are_written_by_the_clock_of_the_server(case: Case) -> None:
    case.push("default", HOLD)
    options = case.configure("[worker]\nheartbeat = 0.2\n")
    with case.daemon(*options) as daemon:
        case.wait_for_job()
        worker = f"{case.know(daemon)}:default"

        def heartbeat() -> str:
            return case.redis.hget("resque:workers:heartbeat", worker).decode()

        first = heartbeat()
        wait_until(lambda: heartbeat() != first, what="a heartbeat during a job")
        assert (
            case.dump()["resque:workers:heartbeat"]
            == LIVING["resque:workers:heartbeat"]
        )
        beaten = datetime.fromisoformat(heartbeat()).timestamp()
        assert abs(case.redis.time()[0] - beaten) <= 5
        case.release()


def prune_as_ruby(case: Case, worker: str, failure: str = "") -> None:
    """Unregister a worker as a Ruby worker does that thinks it dead."""
    pipe = case.redis.pipeline(transaction=False)
    if failure:
        pipe.rpush("resque:failed", failure)
    pipe.srem("resque:workers", worker)
    pipe.delete(f"resque:worker:{worker}", f"resque:worker:{worker}:started")
    pipe.hdel("resque:workers:heartbeat", worker)
    pipe.delete(f"resque:stat:processed:{worker}", f"resque:stat:failed:{worker}")
    pipe.execute()


@deviates("pruned-alive", "identity", "prune-lock")
def test_a_worker_that_was_pruned_alive_registers_again(case: Case) -> None:
    with case.daemon(*case.configure("[worker]\nheartbeat = 0.2\n")) as daemon:
        daemon.wait_for_event("master_ready")
        worker = f"{case.know(daemon)}:default"
        prune_as_ruby(case, worker)
        wait_until(lambda: case.redis.sismember("resque:workers", worker))
        assert case.dump() == LIVING


@deviates("pruned-alive", "prune-lock")
def test_a_run_that_was_settled_by_a_pruner_is_not_counted_again(case: Case) -> None:
    case.push("default", HOLD, OK_1)
    report = entry(HOLD.decode(), PRUNED, "did not gracefully exit", worker="w")
    with case.daemon() as daemon:
        case.wait_for_job()
        prune_as_ruby(case, f"{case.know(daemon)}:default", report)
        case.release()
        daemon.wait_for_event("run_settled_elsewhere")
        case.wait_for("resque:stat:processed", b"1")
    assert case.dump() == QUEUES | failed(report) | {
        "resque:stat:processed": "string 1"
    }


WORKERS = "resque:workers"
BEATS = "resque:workers:heartbeat"
BAD_IDENTITY = (
    '{"boot":"b","pids":"p","pid":1e999,"start":1,"heartbeat":60.0,"nonce":"n"}'
)
BAD_REGISTRIES = {
    "no queues in the id": [("sadd", WORKERS, "h:1", "h:2:", "h", "", "h:²:q")],
    "an id that is not UTF-8": [("sadd", WORKERS, b"h\xe9:1:q")],
    "a heartbeat that is no time": [
        ("sadd", WORKERS, "h:1:q"),
        ("hset", BEATS, "h:1:q", "garbage", "h:2:q", "", "h:3:q", "1795434155"),
    ],
    "a ping that is no number": [
        ("sadd", WORKERS, "h:1:q", "h:2:q"),
        ("set", "resque:worker:ping:h:1", '{"time":"soon"}'),
        ("set", "resque:worker:ping:h:2", '{"time":1%s}' % ("0" * 400)),
    ],
    "an identity that is none": [
        ("sadd", WORKERS, "h:1:q", "h:2:q"),
        ("hset", "resque:resqued:workers", "h:1:q", "garbage"),
        ("hset", "resque:resqued:workers", "h:2:q", BAD_IDENTITY),
    ],
    "keys of another type": [
        ("sadd", WORKERS, "h:1:q"),
        ("rpush", "resque:worker:h:1:q", "x"),
        ("rpush", "resque:worker:ping:h:1", "x"),
        ("rpush", "resque:worker:h:1:q:started", "x"),
    ],
}


@deviates("bad-registry")
@pytest.mark.parametrize("commands", BAD_REGISTRIES.values(), ids=BAD_REGISTRIES)
def test_what_breaks_a_ruby_reader_is_left_alone(
    case: Case, commands: list[tuple[str | bytes, ...]]
) -> None:
    for command in commands:
        case.redis.execute_command(*command)
    before = case.dump()
    case.work()
    assert case.dump() == before


@deviates("odd-type")
def test_a_queue_that_another_program_uses_is_passed_over(case: Case) -> None:
    case.redis.sadd("resque:queues", "jesque")
    case.redis.zadd("resque:queue:jesque", {"delayed": 1})
    case.redis.rpush("resque:queue:mail", b'{"class":"Ok","args":[1]}')
    case.redis.sadd("resque:queues", "mail")
    case.work("*")
    assert case.redis.zcard("resque:queue:jesque") == 1
    assert case.redis.llen("resque:queue:mail") == 0
    assert case.redis.get("resque:stat:processed") == b"1"


# Records of silent workers, and the payload and queue of the failure they become.
BAD_RECORDS = [
    ("{nope", "{nope", ""),
    ("[]", "[]", ""),
    ("{}", "{}", ""),
    ('{"queue":null,"payload":null}', "null", ""),
    ('{"queue":"q","payload":"text"}', '"text"', "q"),
    ('{"payload":{"class":"Ok","args":[1e999]}}', None, ""),
]


@deviates("bad-registry")
@pytest.mark.parametrize(("record", "payload", "queue"), BAD_RECORDS)
def test_a_record_that_ruby_cannot_read_becomes_a_failure(
    case: Case, record: str, payload: str | None, queue: str
) -> None:
    ruby_worker(case, "far:1:x", silent_for=400, record=record)
    case.work()
    error = "Worker far:1:x did not gracefully exit while processing <Unknown Job>"
    kept = no_job(record if payload is None else payload)
    pruned = entry(kept, PRUNED, error, worker="far:1:x", queue=queue)
    assert case.dump() == FAILED_ONCE | failed(pruned)
