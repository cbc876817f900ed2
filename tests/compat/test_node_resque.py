"""node-resque and we on one Redis: both with their own programs, nothing imitated."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from resqued import Client
from resqued.log import logger
from resqued.master.reclaimer import Reclaimer
from resqued.store.connection import SingleLink
from resqued.store.registry import ReclaimResult, Registry
from resqued.wire.keys import Keys
from resqued.wire.payload import FailureInfo
from tests.compat.node_support import Node, NodeError, Queue, install
from tests.support.daemon import Daemon
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis as redis_py

pytestmark = pytest.mark.server_semantics

ARGUMENTS: list[list[Any]] = [
    [],
    [0, 1, -7, 2**53 - 1, 2.5, 0.1, 1e-7, 1e21],
    ["", "text", 'quotes " \\ /, lines\nand\ttabs'],
    ["é", "日本語", "🦀", "\u2028", "\x00\x1f\x7f", "e\u0301"],
    [None, True, False],
    [[], {}, [[1, [2]], []], {"k": {"ä ö": [None, {"deep": [1.5]}]}, "": 0}],
]

QUEUE_LISTS = ["mixed", "mixed,so:me,zwölf 12"]

# Of a worker of no kind that runs here, and that was silent for years: once it is
# gone, a pruning round has been at work.
LONG_DEAD = "elsewhere:1:mixed"
HOUR = 3600
PRUNE_LOCK = "resque:pruning_dead_workers_in_progress"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    return install()


@pytest.fixture
def node(node_modules: Path, redis_url: str, tmp_path: Path) -> Node:
    return Node(node_modules, redis_url, tmp_path)


@pytest.fixture
def queue(node: Node) -> Iterator[Queue]:
    with node.queue() as queue:
        yield queue


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    client = Client(redis_url)
    yield client
    client.close()


class Ours:
    """Our pool on the queue `mixed`, and what it leaves in Redis."""

    def __init__(self, url: str, cwd: Path) -> None:
        self._url = url
        self._cwd = cwd

    def daemon(self, *args: str, queues: str = "mixed", workers: int = 1) -> Daemon:
        where = ("-a", "tests.compat.node.jobs", "-r", self._url)
        return Daemon(
            *(queues, "-n", str(workers), *where, *args),
            cwd=self._cwd,
            env={"COMPAT_REDIS_URL": self._url},
        )

    @contextmanager
    def pool(self, *args: str, **about: Any) -> Iterator[Daemon]:
        """A pool that is ready."""
        with self.daemon(*args, **about) as daemon:
            daemon.wait_for_event("master_ready")
            yield daemon

    def burst(self) -> None:
        """Run all there is to run, and no more."""
        with self.daemon("--burst") as daemon:
            assert daemon.wait() == 0

    def prune(self, redis: redis_py.Redis) -> None:
        """Do what a master does each minute, a minute after whoever did it last."""
        redis.delete(PRUNE_LOCK)
        link = SingleLink(self._url)
        undertaker = Reclaimer(Registry(link, Keys()), "test", logger.get())
        for _ in range(2):
            undertaker.turn(now=time.monotonic())
        link.close()


@pytest.fixture
def ours(redis_url: str, tmp_path: Path) -> Ours:
    return Ours(redis_url, tmp_path)


def notes(redis: redis_py.Redis, name: str = "ran") -> list[dict[str, Any]]:
    """Return what the jobs told of themselves."""
    return [json.loads(note) for note in redis.lrange(name, 0, -1)]


def arguments_of_runs(redis: redis_py.Redis) -> list[list[Any]]:
    return [note["args"] for note in notes(redis)]


def wait_for_runs(redis: redis_py.Redis, count: int, name: str = "ran") -> None:
    wait_until(lambda: redis.llen(name) >= count, what=f"{count} x {name}")


def hold(client: Client, redis: redis_py.Redis, *args: Any) -> None:
    """Make a worker busy until `release`."""
    before = redis.llen("held")
    client.enqueue_to("mixed", "Hold", *args)
    wait_for_runs(redis, before + 1, "held")


def release(redis: redis_py.Redis, times: int = 1) -> None:
    redis.rpush("release", *["now"] * times)


def wait_until_idle(client: Client) -> None:
    wait_until(lambda: not client.working(), what="all workers idle")


def as_text(value: object) -> str:
    """Tell 1, 1.0 and True apart, which are equal in Python."""
    return json.dumps(value, sort_keys=True)


def members(redis: redis_py.Redis) -> set[str]:
    return {member.decode() for member in redis.smembers("resque:workers")}


def failed(redis: redis_py.Redis) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in redis.lrange("resque:failed", 0, -1)]


def keys_of(redis: redis_py.Redis, name: str) -> list[bytes]:
    return [key for key in redis.keys("resque:*") if name.encode() in key]


def plant_long_dead(redis: redis_py.Redis) -> None:
    redis.sadd("resque:workers", LONG_DEAD)
    redis.hset("resque:workers:heartbeat", LONG_DEAD, "2001-01-01T00:00:00+00:00")


def make_ping_old(redis: redis_py.Redis, name: str, age: float = HOUR + 100) -> None:
    key = f"resque:worker:ping:{name}"
    ping = json.loads(redis.get(key))
    redis.set(key, json.dumps({**ping, "time": int(time.time() - age)}))


def dead_worker(
    node: Node,
    redis: redis_py.Redis,
    *,
    busy_with: Callable[[], None] | None = None,
) -> str:
    """Return the name of a worker of node-resque that has crashed."""
    with node.worker("mixed") as worker:
        if busy_with:
            busy_with()
        worker.kill()
    # The job waited for this on a connection that is gone.
    redis.delete("release")
    return worker.name


# Jobs


def test_our_worker_runs_jobs_that_node_enqueues(
    queue: Queue, ours: Ours, redis: redis_py.Redis, client: Client
) -> None:
    for args in ARGUMENTS:
        queue("enqueue", "mixed", "Record", args)
    assert client.size("mixed") == len(ARGUMENTS)

    ours.burst()

    assert as_text(arguments_of_runs(redis)) == as_text(ARGUMENTS)
    assert not failed(redis)
    assert queue("stats") == {"processed": str(len(ARGUMENTS))}


def test_our_worker_runs_a_job_whose_argument_node_has_put_into_a_list(
    queue: Queue, ours: Ours, redis: redis_py.Redis
) -> None:
    queue("enqueue", "mixed", "Record", "alone")
    ours.burst()
    assert arguments_of_runs(redis) == [["alone"]]


def test_node_worker_runs_jobs_that_we_enqueue(
    node: Node, redis: redis_py.Redis, client: Client
) -> None:
    for args in ARGUMENTS:
        client.enqueue_to("mixed", "Record", *args)
    with node.worker("mixed"):
        wait_for_runs(redis, len(ARGUMENTS))
        wait_until_idle(client)

    assert as_text(arguments_of_runs(redis)) == as_text(ARGUMENTS)
    assert not failed(redis)
    assert (client.info().processed, client.info().failed) == (len(ARGUMENTS), 0)


def test_a_failure_keeps_the_queue_that_node_puts_into_payloads(
    queue: Queue, ours: Ours, redis: redis_py.Redis
) -> None:
    queue("enqueue", "mixed", "Fail", ["oh", []])
    (payload,) = redis.lrange("resque:queue:mixed", 0, -1)
    ours.burst()

    (entry,) = redis.lrange("resque:failed", 0, -1)
    assert payload == b'{"class":"Fail","queue":"mixed","args":["oh",[]]}'
    assert b'"payload":' + payload + b"," in entry


@pytest.mark.parametrize("queues", ["fresh", "*"])
def test_a_job_of_node_wakes_our_idle_worker(
    queue: Queue, ours: Ours, redis: redis_py.Redis, client: Client, queues: str
) -> None:
    with ours.pool("--interval", "5m", queues=queues):
        queue("enqueue", "fresh", "Record", [1])
        wait_for_runs(redis, 1)
        wait_until_idle(client)


def test_each_of_400_jobs_runs_once_when_both_kinds_of_workers_share_a_queue(
    node: Node, queue: Queue, ours: Ours, redis: redis_py.Redis, client: Client
) -> None:
    doomed = {f"{side} {i}" for side in ("node", "ours") for i in range(0, 200, 10)}

    def job(side: str, i: int) -> tuple[str, str]:
        name = f"{side} {i}"
        return ("Fail" if name in doomed else "Record"), name

    with node.worker("mixed") as worker, ours.pool(workers=2):
        # One for each worker, so that none begins before the others are there.
        for i in range(3):
            hold(client, redis, f"hold {i}")
        for i in range(200):
            if i == 100:
                release(redis, times=3)
            class_name, name = job("node", i)
            queue.ask("enqueue", "mixed", class_name, [name])
            client.enqueue_to("mixed", *job("ours", i))
        for _ in range(200):
            queue.answer()
        wait_for_runs(redis, 403)
        wait_until_idle(client)

        runs = [(note["by"], note["args"][0]) for note in notes(redis)]
        assert 403 == len(runs) == len({name for _, name in runs})
        by = Counter(side for side, _ in runs)
        assert by["node"]
        assert by["python"]

        # Each side by its own rules: node counts a failed job in `failed` only.
        failed_by = Counter(side for side, name in runs if name in doomed)
        stats = {name: int(count) for name, count in queue("stats").items()}
        assert stats["processed"] == 403 - failed_by["node"]
        assert stats["failed"] == len(doomed)
        assert stats[f"processed:{worker.name}"] == by["node"] - failed_by["node"]
        assert stats.get(f"failed:{worker.name}", 0) == failed_by["node"]
        pool = [w for w in client.workers() if w.host + f":{w.pid}" != worker.name]
        assert sum(w.processed for w in pool) == by["python"]
        assert sum(w.failed for w in pool) == failed_by["python"]
        info = client.info()
        assert info.processed == stats["processed"]
        assert info.failed == stats["failed"]

    entries = failed(redis)
    assert len(entries) == len(doomed)
    assert {entry["payload"]["args"][0] for entry in entries} == doomed
    assert sum(e["worker"] == worker.name for e in entries) == failed_by["node"]


def test_each_side_removes_jobs_of_the_other_by_their_class(
    queue: Queue, client: Client
) -> None:
    queue("enqueue", "mixed", "Record", [1])
    client.enqueue_to("mixed", "Record", 1)
    client.enqueue_to("mixed", "Fail", 1)
    queue("enqueue", "mixed", "Hold", [1])

    assert queue("delByFunction", "mixed", "Record") == 2
    assert client.dequeue("Hold", queue="mixed") == 1
    assert queue("delByFunction", "mixed", "Fail") == 1
    assert client.size("mixed") == 0


def test_removing_by_arguments_finds_only_the_jobs_of_the_same_side(
    queue: Queue, client: Client
) -> None:
    """For it compares bytes, and node's jobs name their queue (wire format 8.3)."""
    queue("enqueue", "mixed", "Record", [1])
    client.enqueue_to("mixed", "Record", 1)

    assert client.dequeue("Record", 1, queue="mixed") == 1
    assert queue("del", "mixed", "Record", [1]) == 1
    assert client.size("mixed") == 0


def test_each_side_removes_a_queue_that_the_other_has_made(
    queue: Queue, client: Client
) -> None:
    queue("enqueue", "of-node", "Record", [1])
    client.enqueue_to("of-ours", "Record", 1)
    assert ["of-node", "of-ours"] == sorted(queue("queues")) == client.queues()

    assert client.remove_queue("of-node") == 1
    queue("delQueue", "of-ours")
    assert [] == queue("queues") == client.queues()


# Looking at each other


@pytest.mark.parametrize("queues", QUEUE_LISTS)
def test_we_list_an_idle_worker_of_node(
    node: Node, client: Client, queues: str
) -> None:
    before = int(time.time())
    with node.worker(queues) as worker:
        (listed,) = client.workers()
        host, _, pid = worker.name.partition(":")
        assert listed.id == f"{worker.name}:{queues}"
        assert (listed.host, listed.pid) == (host, int(pid))
        assert list(listed.queues) == queues.split(",")
        assert (listed.state, listed.job) == ("idle", None)
        assert listed.started
        assert before <= listed.started.timestamp() <= time.time() + 1
        assert client.working() == []
        assert (client.info().workers, client.info().working) == (1, 0)
    assert client.workers() == []


@pytest.mark.parametrize("args", [[], [1, "zwölf", {"k": [None]}]], ids=["no", "some"])
def test_we_list_a_busy_worker_of_node_with_its_job(
    node: Node, client: Client, redis: redis_py.Redis, args: list[Any]
) -> None:
    with node.worker("mixed") as worker:
        hold(client, redis, *args)
        (busy,) = client.working()
        assert busy.id == f"{worker.name}:mixed"
        assert busy.state == "working"
        assert busy.job
        # node's server script writes no arguments as {}.
        assert list(busy.job.args) == args
        assert (busy.job.queue, busy.job.class_name) == ("mixed", "Hold")
        assert busy.job.run_at
        assert abs(busy.job.run_at.timestamp() - time.time()) < 600
        assert (client.info().workers, client.info().working) == (1, 1)
        release(redis)
        wait_until_idle(client)


def test_we_list_the_workers_of_a_multiworker(
    node: Node, client: Client, redis: redis_py.Redis
) -> None:
    with node.multiworker("mixed") as both:
        wait_until(lambda: len(client.workers()) == 2)
        host, _, pid = both.name.partition(":")
        assert [worker.id for worker in client.workers()] == [
            f"{both.name}+{n}:mixed" for n in (1, 2)
        ]
        assert {
            (worker.host, worker.pid, worker.queues) for worker in client.workers()
        } == {(host, int(pid), ("mixed",))}
        hold(client, redis, 1)
        (busy,) = client.working()
        assert busy.job
        assert busy.job.args == (1,)
        release(redis)
        wait_until_idle(client)
    assert client.workers() == []


def test_we_list_the_counters_of_a_worker_of_node(
    node: Node, client: Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("mixed", "Record", 1)
    client.enqueue_to("mixed", "Record", 2)
    client.enqueue_to("mixed", "Fail", 3)
    with node.worker("mixed"):
        wait_for_runs(redis, 3)
        wait_until(lambda: redis.get("resque:stat:failed"))
        (listed,) = client.workers()
        assert (listed.processed, listed.failed) == (2, 1)


def test_our_listing_copes_with_a_worker_that_registers_anew_all_the_time(
    node: Node, client: Client, redis: redis_py.Redis, ours: Ours
) -> None:
    """As node-resque's do on `*`: out and in again at each round without a job."""

    def rounds() -> int:
        return int(redis.info("commandstats")["cmdstat_srem"]["calls"])

    client.enqueue_to("mixed", "Record", "first")
    with node.worker("*", timeout=2) as worker:
        wait_for_runs(redis, 1)
        wait_until_idle(client)
        first, seen = rounds(), 0
        while rounds() < first + 200:
            listed = client.workers()
            assert {worker.name} >= {f"{w.host}:{w.pid}" for w in listed}
            assert {("mixed",)} >= {w.queues for w in listed}
            assert len(listed) <= 1
            assert client.info().workers in {0, 1}
            ours.prune(redis)
            seen += len(listed)
        assert seen

        # The queues are a part of the id, and there is one more of them now.
        client.enqueue_to("another", "Record", "second")
        wait_for_runs(redis, 2)
        wait_until(
            lambda: [w.queues for w in client.workers()] == [("another", "mixed")]
        )

        hold(client, redis, "third")
        for _ in range(20):
            (busy,) = client.workers()
            assert busy.job
            assert (busy.job.class_name, busy.job.args) == ("Hold", ("third",))
            ours.prune(redis)
        release(redis)
        wait_until_idle(client)
    # It may still be listed: told to end in the midst of a round, node-resque
    # registers once more after it has unregistered.
    assert not client.working()
    assert not failed(redis)


@pytest.mark.parametrize("queues", QUEUE_LISTS)
def test_node_reads_our_idle_worker(
    ours: Ours, queue: Queue, client: Client, queues: str
) -> None:
    with ours.pool(queues=queues):
        (worker,) = client.workers()
        name = f"{worker.host}:{worker.pid}"
        assert queue("workers") == {name: queues}
        assert queue("workingOn", name, queues) is None
        assert queue("allWorkingOn") == {name: "started"}
        assert queue("stats") == {}
    assert queue("workers") == {}
    assert queue("allWorkingOn") == {}


def test_node_reads_our_busy_worker(
    ours: Ours, queue: Queue, client: Client, redis: redis_py.Redis
) -> None:
    with ours.pool():
        (worker,) = client.workers()
        name = f"{worker.host}:{worker.pid}"
        client.enqueue_to("mixed", "Record", 1)
        wait_for_runs(redis, 1)
        hold(client, redis, "é", {"k": [None]})
        client.enqueue_to("mixed", "Record", "waits")

        assert queue("workers") == {name: "mixed"}
        record = json.loads(queue("workingOn", name, "mixed"))
        payload = {"class": "Hold", "args": ["é", {"k": [None]}]}
        assert (record["queue"], record["payload"]) == ("mixed", payload)
        assert record["run_at"].startswith("20")
        # Our records name no worker, as Ruby's do not, and this method goes by
        # that name. Who named it would have its live workers removed by
        # cleanOldWorkers: see below.
        assert queue("allWorkingOn") == {name: "started", "undefined": record}

        assert queue("length", "mixed") == 1
        waiting = {"class": "Record", "args": ["waits"]}
        assert queue("queued", "mixed", 0, -1) == [waiting]
        assert queue("stats") == {"processed": "1", f"processed:{worker.id}": "1"}
        assert queue("failedCount") == 0
        assert queue("failed", 0, -1) == []
        release(redis)
        wait_for_runs(redis, 3)
        wait_until_idle(client)
    assert queue("stats") == {"processed": "3"}


# Failures


def test_we_list_a_failure_of_node_and_retry_it(
    node: Node, client: Client, redis: redis_py.Redis, queue: Queue
) -> None:
    with node.worker("mixed") as worker:
        client.enqueue_to("mixed", "FailOnce", "zu früh", {"k": []})
        wait_until(lambda: client.failures.count() == 1)
        (failure,) = client.failures.page()
        assert (failure.queue, failure.class_name) == ("mixed", "FailOnce")
        assert not failure.is_retried
        assert failure.fields["exception"] == "RangeError"
        assert failure.fields["error"] == "zu früh"
        assert failure.fields["worker"] == worker.name
        assert failure.fields["payload"] == {
            "class": "FailOnce",
            "args": ["zu früh", {"k": []}],
        }
        assert any("perform" in line for line in failure.fields["backtrace"])

        assert client.failures.retry(failure)
        assert not client.failures.retry(failure)
        wait_for_runs(redis, 1)
        wait_until_idle(client)
    assert arguments_of_runs(redis) == [["zu früh", {"k": []}]]
    (failure,) = client.failures.page()
    assert failure.is_retried
    (entry,) = queue("failed", 0, -1)
    assert entry["retried_at"]
    assert client.failures.remove(failure)
    assert queue("failedCount") == 0


def test_we_retry_a_failure_of_node_and_our_worker_runs_it(
    node: Node, client: Client, redis: redis_py.Redis, ours: Ours, queue: Queue
) -> None:
    with node.worker("mixed"):
        queue("enqueue", "mixed", "FailOnce", [])
        # Only now: it would not be told that it runs a job.
        wait_until(lambda: client.failures.count() == 1)
    (failure,) = client.failures.page()
    assert failure.class_name == "FailOnce"
    redis.set("failed-once", "yes")
    assert client.failures.retry(failure)
    ours.burst()
    assert [(note["by"], note["args"]) for note in notes(redis)] == [("python", [])]


def test_node_lists_our_failure_and_retries_it(
    ours: Ours, queue: Queue, client: Client, redis: redis_py.Redis
) -> None:
    args = ['zu früh \u2028 \x00 "\\/', 2.5, -7, [], {"é": {}, "": None}]
    with ours.pool():
        (worker,) = client.workers()
        client.enqueue_to("mixed", "FailOnce", *args)
        wait_until(lambda: queue("failedCount") == 1)
        (entry,) = queue("failed", 0, -1)
        assert (entry["queue"], entry["worker"]) == ("mixed", worker.id)
        assert entry["payload"] == {"class": "FailOnce", "args": args}
        assert (entry["exception"], entry["error"]) == ("LookupError", args[0])
        assert any("jobs.py" in line for line in entry["backtrace"])
        assert entry["failed_at"]

        assert queue("retryAndRemoveFailed", entry)
        wait_for_runs(redis, 1)
        wait_until_idle(client)
    assert arguments_of_runs(redis) == [args]
    assert client.failures.count() == 0


def test_a_node_worker_runs_our_failure_that_node_retried(
    ours: Ours, node: Node, queue: Queue, client: Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("mixed", "FailOnce", 1)
    ours.burst()
    (entry,) = queue("failed", 0, -1)
    with node.worker("mixed"):
        queue("retryAndRemoveFailed", entry)
        wait_for_runs(redis, 1)
        wait_until_idle(client)
    assert [(note["by"], note["args"]) for note in notes(redis)] == [("node", [1])]
    assert client.failures.count() == 0


def test_node_removes_our_failure_retried_or_not(
    ours: Ours, queue: Queue, client: Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("mixed", "Fail", "one")
    client.enqueue_to("mixed", "Fail", "two")
    ours.burst()
    assert client.failures.retry(client.failures.page()[0])

    one, two = queue("failed", 0, -1)
    assert (one["error"], two["error"]) == ("one", "two")
    assert two["retried_at"]
    assert queue("removeFailed", two) == 1
    assert queue("removeFailed", one) == 1
    assert client.failures.count() == 0


def test_node_leaves_our_failure_alone_where_it_writes_a_number_otherwise(
    ours: Ours, queue: Queue, client: Client
) -> None:
    """As Ruby's: it finds entries by their bytes, and writes 1.0 as 1."""
    client.enqueue_to("mixed", "Fail", 1.0)
    ours.burst()
    (entry,) = queue("failed", 0, -1)
    with pytest.raises(NodeError, match="not in failed queue"):
        queue("retryAndRemoveFailed", entry)
    assert (client.failures.count(), client.size("mixed")) == (1, 0)
    assert client.failures.retry(client.failures.page()[0])
    assert client.peek("mixed") == [{"class": "Fail", "args": [1.0]}]


def test_node_reads_our_failures_of_what_was_no_job(
    ours: Ours, queue: Queue, redis: redis_py.Redis
) -> None:
    elements = [b"no JSON", b"null", b"[1]", b'"text"', b"\xff\xfe", b"", b"{}"]
    elements += [b'{"class":"Fail","args":[NaN]}', b'{"class":"Fail","args":["\n"]}']
    redis.sadd("resque:queues", "mixed")
    redis.rpush("resque:queue:mixed", *elements)
    ours.burst()

    entries = queue("failed", 0, -1)
    assert len(elements) == len(entries) == queue("failedCount")
    assert {entry["queue"] for entry in entries} == {"mixed"}
    assert all(isinstance(entry["backtrace"], list) for entry in entries)
    # Reads the backtrace of each, and finds nothing of its own.
    queue("retryStuckJobs")
    for entry in entries:
        assert queue("removeFailed", entry) == 1


def test_we_read_and_retry_the_failure_of_a_worker_that_node_took_for_dead(
    node: Node, client: Client, redis: redis_py.Redis, ours: Ours
) -> None:
    name = dead_worker(node, redis, busy_with=lambda: hold(client, redis))
    make_ping_old(redis, name)
    with node.scheduler() as scheduler:
        scheduler.wait_for("cleanStuckWorker")
        scheduler.wait_for("poll", count=3)

    assert client.workers() == []
    (failure,) = client.failures.page()
    assert (failure.queue, failure.class_name) == ("mixed", "Hold")
    assert failure.fields["worker"] == name
    assert client.failures.retry(failure)
    assert client.peek("mixed") == [{"class": "Hold", "args": []}]

    # It forgets the record of the job, and we do not take that for a worker.
    assert keys_of(redis, name)
    ours.prune(redis)
    assert client.failures.count() == 1


# Pruning


def test_our_master_leaves_live_workers_of_node_alone(
    node: Node, client: Client, redis: redis_py.Redis, ours: Ours
) -> None:
    """On the same host and the same queues, busy and idle, at its start and later."""
    with node.worker("mixed") as busy:
        hold(client, redis, 1)
        with node.worker("mixed") as idle:
            theirs = {f"{worker.name}:mixed" for worker in (busy, idle)}
            plant_long_dead(redis)
            with ours.pool() as daemon:
                (pruned,) = daemon.wait_for_event("worker_pruned")
                assert pruned["worker"] == LONG_DEAD
                assert theirs < members(redis)

                plant_long_dead(redis)
                ours.prune(redis)
                assert LONG_DEAD not in members(redis)
                assert theirs < members(redis)
                assert len(client.working()) == 1
            assert members(redis) == theirs
            release(redis)
            wait_until_idle(client)
    assert arguments_of_runs(redis) == [[1]]
    assert not failed(redis)
    assert client.workers() == []


def test_a_dead_worker_of_node_is_left_until_its_ping_is_an_hour_old(
    node: Node, client: Client, redis: redis_py.Redis, ours: Ours
) -> None:
    name = dead_worker(node, redis, busy_with=lambda: hold(client, redis, 1))
    for age in (0, HOUR - 60):
        make_ping_old(redis, name, age)
        ours.prune(redis)
        assert members(redis) == {f"{name}:mixed"}
        assert not failed(redis)
    make_ping_old(redis, name, HOUR + 60)
    ours.prune(redis)
    assert members(redis) == set()


def test_a_dead_worker_of_node_that_left_no_ping_is_left_alone(
    node: Node, client: Client, redis: redis_py.Redis, ours: Ours
) -> None:
    """On `*` node-resque deletes the ping each time soon after it has set it."""
    name = dead_worker(node, redis, busy_with=lambda: hold(client, redis, 1))
    redis.delete(f"resque:worker:ping:{name}")
    ours.prune(redis)
    assert members(redis) == {f"{name}:mixed"}
    assert len(client.working()) == 1
    assert not failed(redis)


def test_nothing_is_taken_from_a_worker_of_node_that_goes_on_after_all(
    node: Node, client: Client, redis: redis_py.Redis, redis_url: str
) -> None:
    """It was silent for an hour, was read, and takes a job before it is buried."""
    with node.worker("mixed", timeout=500) as worker:
        client.enqueue_to("mixed", "Record", 1)
        wait_for_runs(redis, 1)
        wait_until_idle(client)
        link = SingleLink(redis_url)
        registry = Registry(link, Keys())
        (entry,) = registry.read([f"{worker.name}:mixed"])
        hold(client, redis, 2)
        keys = keys_of(redis, worker.name)
        results = registry.reclaim([(entry, FailureInfo("Any", "any"))])
        link.close()
        remaining = keys_of(redis, worker.name)
        release(redis)
        wait_until_idle(client)
    assert results == [ReclaimResult.CHANGED]
    assert set(remaining) == set(keys)


@pytest.mark.parametrize("args", [[], [1, {"k": "é"}]], ids=["no", "some"])
def test_our_master_prunes_a_worker_of_node_that_died_over_a_job(
    node: Node, client: Client, redis: redis_py.Redis, ours: Ours, args: list[Any]
) -> None:
    name = dead_worker(node, redis, busy_with=lambda: hold(client, redis, *args))
    make_ping_old(redis, name)
    with ours.pool() as daemon:
        (pruned,) = daemon.wait_for_event("worker_pruned")
        assert pruned["worker"] == f"{name}:mixed"
    assert keys_of(redis, name) == []
    ours.prune(redis)
    with node.scheduler() as scheduler:
        scheduler.wait_for("poll", count=3)

    (entry,) = failed(redis)
    assert (entry["queue"], entry["worker"]) == ("mixed", f"{name}:mixed")
    assert entry["exception"] == "Resque::PruneDeadWorkerDirtyExit"
    assert entry["payload"]["class"] == "Hold"
    assert client.info().failed == 1

    release(redis)
    assert client.failures.retry(client.failures.page()[0])
    ours.burst()
    assert [(note["by"], note["args"]) for note in notes(redis)] == [("python", args)]


def test_our_master_prunes_a_worker_of_node_that_died_idle(
    node: Node, redis: redis_py.Redis, ours: Ours
) -> None:
    name = dead_worker(node, redis)
    make_ping_old(redis, name)
    ours.prune(redis)
    assert keys_of(redis, name) == []
    assert not failed(redis)


def test_our_master_prunes_the_workers_of_a_dead_multiworker(
    node: Node, client: Client, redis: redis_py.Redis, ours: Ours
) -> None:
    with node.multiworker("mixed") as both:
        wait_until(lambda: len(redis.keys("resque:worker:ping:*")) == 2)
        hold(client, redis, 1)
        both.kill()
    make_ping_old(redis, f"{both.name}+1")
    ours.prune(redis)
    assert members(redis) == {f"{both.name}+2:mixed"}
    make_ping_old(redis, f"{both.name}+2")
    ours.prune(redis)
    assert keys_of(redis, both.name) == []
    assert len(failed(redis)) == 1


def test_node_does_not_remove_our_live_workers(
    node: Node, queue: Queue, ours: Ours, client: Client, redis: redis_py.Redis
) -> None:
    """Neither at somebody's word, whatever the age, nor of its scheduler's own."""
    with ours.pool(workers=2):
        hold(client, redis, 1)
        before = {worker.id: worker.state for worker in client.workers()}
        assert sorted(before.values()) == ["idle", "working"]

        assert queue("cleanOldWorkers", -HOUR * 1000) == {}
        # Its own mistake, with Ruby's workers too: it looks for the worker named
        # undefined, and counts a failure that nobody had.
        miss = "force-cleaning worker undefined, but cannot find queues"
        assert queue.errors == [miss]
        queue.errors.clear()
        assert queue("stats") == {"failed": "1"}

        with node.scheduler(stuck=1) as scheduler:
            scheduler.wait_for("poll", count=5)
            assert list(scheduler.events("cleanStuckWorker")) == []

        assert {worker.id: worker.state for worker in client.workers()} == before
        release(redis)
        wait_for_runs(redis, 1)
        wait_until_idle(client)
    assert not failed(redis)
    assert client.info().processed == 1


def test_our_worker_comes_back_after_somebody_had_node_clean_it_away(
    queue: Queue, ours: Ours, client: Client, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """The job it held is in `failed` then, while it runs on: node says so itself."""
    config = tmp_path / "resqued.toml"
    config.write_text('[worker]\nheartbeat = "0.2s"\n')
    with ours.pool("-c", str(config)):
        (worker,) = client.workers()
        hold(client, redis, 1)
        queue("forceCleanWorker", f"{worker.host}:{worker.pid}")
        wait_until(lambda: [worker.id] == [w.id for w in client.working()])
        release(redis)
        client.enqueue_to("mixed", "Record", 2)
        wait_for_runs(redis, 2)
        wait_until_idle(client)
        (after,) = client.workers()
        assert (after.processed, after.failed) == (2, 0)
    assert arguments_of_runs(redis) == [[1], [2]]
    assert len(failed(redis)) == 1
    assert client.workers() == []


# The rest of node-resque


def test_our_worker_runs_what_the_scheduler_of_node_hands_over(
    node: Node, queue: Queue, ours: Ours, client: Client, redis: redis_py.Redis
) -> None:
    with node.scheduler() as scheduler:
        at = int(time.time() * 1000) - 2000
        queue("enqueueAt", at, "mixed", "Record", ["delayed", {"k": []}])
        scheduler.wait_for("transferredJob")
    with ours.pool():
        wait_for_runs(redis, 1)
        wait_until_idle(client)
    assert arguments_of_runs(redis) == [["delayed", {"k": []}]]
    assert not failed(redis)


def test_the_other_keys_of_node_mean_nothing_to_us(
    node: Node, queue: Queue, ours: Ours, client: Client, redis: redis_py.Redis
) -> None:
    far = int(time.time() + HOUR) * 1000
    with node.scheduler() as scheduler, node.worker("other") as worker:
        scheduler.wait_for("poll")
        queue("enqueueAt", far, "mixed", "Record", ["later"])
        foreign = {key: redis.dump(key) for key in redis.keys("resque:*")}
        assert {
            b"resque:connection_test_key",
            b"resque:resque_scheduler_leader_lock",
            b"resque:delayed_queue_schedule",
            f"resque:worker:ping:{worker.name}".encode(),
        } < foreign.keys()
        with ours.pool():
            client.enqueue_to("mixed", "Record", "now")
            wait_for_runs(redis, 1)
            wait_until_idle(client)
            assert client.queues() == ["mixed"]
            assert client.info().workers == 2
        ours.prune(redis)
        assert [w.id for w in client.workers()] == [f"{worker.name}:other"]
        assert far in queue("timestamps")
        for key, value in foreign.items():
            # The worker itself writes its ping anew.
            assert value == redis.dump(key) or b":ping:" in key
    assert arguments_of_runs(redis) == [["now"]]
    assert not failed(redis)


def test_two_schedulers_of_different_kinds_enqueue_each_delayed_job_once(
    node: Node, queue: Queue, ours: Ours, client: Client, redis: redis_py.Redis
) -> None:
    """Items of both kinds, moved by both: node takes one at a time, we take many.

    Node moves up to half a second early, so it moves all if it looks all the time.
    """
    with node.scheduler(timeout=900) as scheduler, ours.pool(workers=2):
        scheduler.wait_for("poll")
        begin = redis.time()[0] + 3
        for number in range(60):
            at = (begin + number % 5) * 1000
            queue("enqueueAt", at, "mixed", "Record", [f"node {number}"])
        for second in range(5):
            when = datetime.fromtimestamp(begin + second, UTC)
            jobs = [("Record", f"ours {n}") for n in range(second, 200, 5)]
            client.enqueue_many_later(jobs, at=when, queue="mixed")
        wait_for_runs(redis, 260)
        wait_until_idle(client)
        assert client.delayed.count() == 0
    found = Counter(args for (args,) in arguments_of_runs(redis))
    assert len(found) == 260
    assert set(found.values()) == {1}
    assert not failed(redis)
