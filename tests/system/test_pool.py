"""The pool as a whole: many jobs, deaths of all kinds, starts that fail."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest
import redis as redis_py

import resqued
from resqued.system import process
from resqued.wire.worker_entry import Identity
from tests.support.daemon import Daemon, clean_environment
from tests.support.pool import count, failures, left_over, pool, runs, waiting
from tests.support.wait import scaled, wait_until


@pytest.mark.alone("thousands of jobs keep every core busy")
def test_thousands_of_jobs_from_eight_workers_are_all_counted(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    jobs, failing = 3_000, 100
    client = resqued.Client(redis_url)
    every = jobs // failing
    client.enqueue_many(
        (["Fail" if n % every == 0 else "Noop", n] for n in range(jobs)),
        queue="default",
    )
    with pool(
        redis_url, tmp_path, "--burst", "--log-level", "error", workers=8
    ) as running:
        assert running.wait(600) == 0
    assert count(redis, "processed") == jobs
    assert count(redis, "failed") == failing == len(failures(redis))
    assert runs(redis) == Counter(str(n) for n in range(0, jobs, every))
    assert waiting(redis) == 0
    assert left_over(redis) == set()


def test_queues_are_served_in_order_of_the_list_after_every_job(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    for number, queue in enumerate(("low", "b", "critical", "a", "skipped")):
        client.enqueue_to(queue, "Run", number)
    with pool(redis_url, tmp_path, "--burst", queues="critical,*,!skip*") as running:
        assert running.wait() == 0
    # critical first, then the rest by bytes.
    assert redis.lrange("runs", 0, -1) == [b"2", b"3", b"1", b"0"]
    assert waiting(redis, "skipped") == 1


def test_a_queue_that_appears_later_is_served_at_once(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, "--interval", "10m", queues="*") as running:
        running.wait_for_event("master_ready")
        for number in range(20):
            resqued.Client(redis_url).enqueue_to(f"new-{number}", "Run", number)
            wait_until(lambda n=number: runs(redis)[str(n)], what=f"job {number}")


def test_rubbish_on_a_queue_costs_one_failure_each_and_nobody_dies(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    rubbish = [
        b"not json",
        b"",
        b"[]",
        b"{}",
        b"null",
        b"5",
        b'"text"',
        b'{"class":null}',
        b'{"class":"nope.X","args":5}',
        b'{"class":"Run","args":[NaN]}',
        b'{"class":"Run","args":["\xff\xfe"]}',
        b"\xff\x00\xfe",
        b"[" * 5_000,
        b'{"class":"Run","args":["' + b"x" * 1_000_000 + b'"]}{',
    ]
    redis.rpush("resque:queue:default", *rubbish)
    resqued.Client(redis_url).enqueue_to("default", "Run", 1)
    with pool(redis_url, tmp_path, "--burst") as running:
        assert running.wait() == 0
        assert running.events("worker_died") == []
    assert runs(redis) == Counter(["1"])
    entries = failures(redis)
    assert len(entries) == len(rubbish)
    assert entries[0]["payload"]["args"] == ["not json"]
    (text,) = entries[11]["payload"]["args"]
    assert text.encode("latin-1") == b"\xff\x00\xfe"
    assert count(redis, "processed") == len(rubbish) + 1
    assert count(redis, "failed") == len(rubbish)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "json",
        "tests.support.jobs.note",
        "tests.support.jobs.Archive.__class__",
        "tests.support.jobs.Archive.perform",
        "tests.support.jobs.redis.Redis",
        "antigravity.open",
    ],
)
def test_what_was_not_declared_is_never_run(
    name: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    resqued.Client(redis_url).enqueue_to("default", name, "touch pwned")
    with pool(redis_url, tmp_path, "--burst") as running:
        assert running.wait() == 0
    (entry,) = failures(redis)
    assert entry["exception"] == "resqued.errors.JobClassError"
    assert f"{name} is not a job of this application" in entry["error"]
    assert not (tmp_path / "pwned").exists()


def test_a_class_in_a_module_of_the_application_runs_under_its_path(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    resqued.Client(redis_url).enqueue_to("default", "tests.support.jobs.Archive", 3)
    with pool(redis_url, tmp_path, "--burst") as running:
        assert running.wait() == 0
    assert runs(redis) == Counter(["3"])


def test_every_way_a_job_can_end(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    for job, argument in (
        ("Fail", 1),
        ("Raise", "SystemExit"),
        ("Raise", "KeyboardInterrupt"),
        ("Raise", "GeneratorExit"),
        ("Die", int(signal.SIGKILL)),
        ("Die", int(signal.SIGSEGV)),
        ("Leave", 3),
        ("Leave", 0),
        ("Noop", 1),
    ):
        client.enqueue_to("default", job, argument)
    client.enqueue_to("default", "Fork")
    client.enqueue_to("default", "Run")
    with pool(redis_url, tmp_path, "--burst") as running:
        assert running.wait() == 0
        assert running.events("worker_died") == []
    found = [(entry["exception"], entry["error"]) for entry in failures(redis)]
    names = [name for name, _ in found]
    assert names == [
        "ValueError",
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        *["Resque::DirtyExit"] * 3,
        "TypeError",
    ]
    assert found[0][1] == "failed on purpose: 1"
    assert "SIGKILL (signal 9)" in found[4][1]
    assert "SIGSEGV (signal 11)" in found[5][1]
    assert "status 3" in found[6][1]
    assert (count(redis, "processed"), count(redis, "failed")) == (11, 8)
    assert left_over(redis) == set()


def test_what_a_job_leaves_in_buffers_is_written(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    resqued.Client(redis_url).enqueue_to("default", "Buffered")
    with pool(redis_url, tmp_path, "--burst") as running:
        assert running.wait() == 0
        log = running.log()
    assert "printed and not flushed" in log
    assert (tmp_path / "records").read_text() == "logged and kept\n"


def test_a_child_that_hangs_after_its_job_is_killed_and_the_job_has_succeeded(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    client.enqueue_to("default", "HangsAtTheEnd")
    client.enqueue_to("default", "Run", 1)
    config = "[worker]\nexit_grace = '300ms'\n"
    with pool(redis_url, tmp_path, "--burst", config=config) as running:
        assert running.wait() == 0
        (killed,) = running.events("child_killed")
    assert "exit_grace, 0.3 s" in killed["reason"]
    assert killed["job_class"] == "HangsAtTheEnd"
    assert failures(redis) == []
    assert count(redis, "processed") == 2
    assert runs(redis) == Counter(["1"])


def test_a_killed_zygote_is_replaced_and_its_workers_go_on(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, workers=2) as running:
        running.wait_for_event("master_ready")
        before = running.workers()
        (zygote,) = running.zygotes()
        os.kill(zygote, signal.SIGKILL)
        running.wait_for_event("zygote_died")
        resqued.Client(redis_url).enqueue_to("default", "Run", 1)
        wait_until(lambda: runs(redis)["1"], what="a job to run")
        assert running.workers() == before
        wait_until(lambda: running.zygotes() not in ([], [zygote]), what="a new zygote")
        os.kill(before[0], signal.SIGKILL)
        wait_until(
            lambda: (
                redis.scard("resque:workers") == 2
                and len(running.workers()) == 2
                and before[0] not in running.workers()
            ),
            what="a new worker from the new zygote",
        )


def test_a_killed_standby_costs_nothing(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path) as running:
        running.wait_for_event("master_ready")
        for number in range(10):
            for child in wait_until(running.children, what="a child that stands by"):
                os.kill(child, signal.SIGKILL)
            wait_until(lambda: not running.children(), what="its end")
            resqued.Client(redis_url).enqueue_to("default", "Run", number)
            # Settled: the child of this job is not taken for one that stands by.
            wait_until(
                lambda done=number + 1: count(redis, "processed") == done,
                what=f"job {number}",
            )
    assert set(runs(redis).values()) == {1}
    assert failures(redis) == []


def test_a_killed_master_takes_its_idle_workers_and_ends_the_busy_one(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    config = "[worker]\norphan_grace = '200ms'\n"
    with pool(redis_url, tmp_path, workers=3, config=config) as running:
        running.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_to("default", "Nap", 60)
        wait_until(lambda: redis.llen("started"), what="the job to start")
        running.signal(signal.SIGKILL)
        wait_until(lambda: not running.processes(), what="everybody to leave")
    (entry,) = failures(redis)
    assert "its master is gone" in entry["error"]
    assert left_over(redis) == set()


@pytest.mark.server_semantics
def test_everything_killed_at_once_is_found_by_the_next_master(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(redis_url, tmp_path, workers=3) as running:
        running.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_many(
            ([60] for _ in range(2)), job="Nap", queue="default"
        )
        wait_until(lambda: redis.llen("started") == 2, what="two jobs to start")
        wait_until(lambda: redis.scard("resque:workers") == 3, what="the third worker")
        victims = running.processes()
        # At once: nobody is to act on the death of another one.
        for victim in victims:
            victim.suspend()
        # A process stops when it is next about to run its own code.
        wait_until(
            lambda: all(v.status() == psutil.STATUS_STOPPED for v in victims),
            what="all to stand still",
        )
        # The master last: the kernel continues a process group that stands still when
        # the parent of all its processes dies (SIGHUP and SIGCONT).
        for victim in sorted(victims, key=psutil.Process.create_time, reverse=True):
            victim.kill()
        wait_until(lambda: not running.processes(), what="their death")
    assert redis.scard("resque:workers") == 3
    with pool(redis_url, tmp_path) as running:
        running.wait_for_event("worker_pruned", count=3)
        wait_until(lambda: len(failures(redis)) == 2, what="both jobs to be recorded")
    assert {entry["exception"] for entry in failures(redis)} == {"Resque::DirtyExit"}
    assert count(redis, "processed") == 2
    assert left_over(redis) == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("raise RuntimeError('no database')", "RuntimeError"),
        ("import sys; sys.exit(0)", "SystemExit"),
    ],
)
def test_an_application_that_cannot_be_imported_is_one_line_and_78(
    text: str, said: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    (tmp_path / "brokenapp.py").write_text(text)
    with Daemon("default", "-r", redis_url, "-a", "brokenapp", cwd=tmp_path) as running:
        assert running.wait() == 78
        lines = [line for line in running.log().splitlines() if line[:1] != "{"]
    assert len(lines) == 1
    assert lines[0].startswith("resqued: cannot import brokenapp: ")
    assert said in lines[0]
    assert left_over(redis) == set()


def test_workers_that_die_whenever_they_start_end_the_master(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom resqued.worker import WorkerProcess\n"
        "WorkerProcess._register = lambda *_: os.kill(os.getpid(), 9)\n"
    )
    with Daemon("default", "-r", redis_url, "-a", "deadly", cwd=tmp_path) as running:
        assert running.wait() == 70
        spawned = len(running.events("worker_spawned"))
        assert running.log().count("resqued: 5 workers in a row died") == 1
    assert spawned == 5, "a fork storm"


def test_an_application_with_threads_is_told_of_them(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), name='collector',"
        " daemon=True).start()\n"
    )
    with Daemon(
        *("default", "-r", redis_url, "-a", "threaded"),
        cwd=tmp_path,
        env={"PYTHONWARNINGS": "ignore"},
    ) as running:
        (event,) = running.wait_for_event("application_has_threads")
        assert event["threads"] == ["collector"]


# An application with which the first three workers find their ids taken.
CROWDED = """
import os, redis
from resqued.worker import WorkerProcess

register = WorkerProcess._register

def register_late(self, now):
    worker = self._registration.runs.worker_id
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        if client.llen("taken") < 3:
            client.sadd("resque:workers", worker)
            client.set("resque:worker:" + worker, {held!r})
            client.hset("resque:resqued:workers", worker, {stranger!r})
            client.hset("resque:workers:heartbeat", worker, {now!r})
            client.rpush("taken", worker)
    return register(self, now)

WorkerProcess._register = register_late
"""


def test_an_id_that_is_somebody_elses_is_left_alone(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """Another container of the same name: it has workers of the same pids."""
    held = '{"queue":"q","run_at":"x","payload":{"class":"Run","args":[1]}}'
    stranger = Identity("boot", "pid:[1]", 1, 1, 60.0, "nonce").encode()
    (tmp_path / "crowded.py").write_text(
        CROWDED.format(stranger=stranger, held=held, now=heartbeat_now())
    )
    with pool(redis_url, tmp_path, "-a", "crowded") as running:
        running.wait_for_event("master_ready", deadline=120)
        taken = [worker.decode() for worker in redis.lrange("taken", 0, -1)]
        spawned = [event["worker"] for event in running.events("worker_spawned")]
        assert spawned[:-1] == taken
        assert len(taken) == 3
        for worker in taken:
            assert redis.get(f"resque:worker:{worker}") == held.encode()
            assert redis.hget("resque:resqued:workers", worker) == stranger.encode()
    assert failures(redis) == []


def heartbeat_now() -> str:
    return subprocess.check_output(["date", "-Iseconds"], text=True).strip()


def test_a_dead_worker_of_the_same_id_is_buried_first(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """This machine's own: the pid is in use again, by somebody who began later."""
    worker = f"{process.hostname()}:{os.getpid()}:default"
    dead = Identity(
        process.boot_id(), process.namespaces(), os.getpid(), 1, 60.0, "nonce"
    )
    redis.sadd("resque:workers", worker)
    redis.hset("resque:resqued:workers", worker, dead.encode())
    redis.hset("resque:workers:heartbeat", worker, heartbeat_now())
    redis.set(
        f"resque:worker:{worker}",
        '{"queue":"q","run_at":"x","payload":{"class":"Run","args":[1]}}',
    )
    with pool(redis_url, tmp_path) as running:
        running.wait_for_event("worker_pruned")
    (entry,) = failures(redis)
    assert entry["worker"] == worker
    assert entry["payload"] == {"class": "Run", "args": [1]}
    assert left_over(redis) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to make namespaces")
@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not here")
def test_the_master_as_pid_1(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    resqued.Client(redis_url).enqueue_to("default", "Run", 1)
    command = [
        *("unshare", "--pid", "--fork", "--mount-proc"),
        *(sys.executable, "-m", "resqued", "work", "default", "-n", "2"),
        *("-r", redis_url, "-a", "tests.support.jobs", "--log-format", "json"),
    ]
    log = tmp_path / "log"
    with log.open("wb") as output:
        outer = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**clean_environment(), "TEST_REDIS_URL": redis_url},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: runs(redis)["1"], what="the job to run")
        (master,) = psutil.Process(outer.pid).children()
        assert json.loads(log.read_text().splitlines()[0])["pid"] == 1
        wait_until(lambda: redis.scard("resque:workers") == 2, what="both workers")
        master.send_signal(signal.SIGTERM)
        assert outer.wait(scaled(60)) == 0
    finally:
        outer.kill()
        outer.wait()
    assert left_over(redis) == set()


@pytest.mark.server_semantics
def test_ten_thousand_dead_workers_are_pruned_once_by_two_masters(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    dead, busy = 10_000, 500
    pipe = redis.pipeline(transaction=False)
    for number in range(dead):
        worker = f"gone:{number}:q"
        pipe.sadd("resque:workers", worker)
        pipe.hset("resque:workers:heartbeat", worker, "2020-01-01T00:00:00+00:00")
        if number < busy:
            pipe.set(
                f"resque:worker:{worker}",
                f'{{"queue":"q","run_at":"x","payload":{{"class":"A","args":[{number}]}}}}',
            )
    pipe.execute()
    other = tmp_path / "other"
    other.mkdir()
    with (
        pool(redis_url, tmp_path, "--log-level", "error"),
        pool(redis_url, other, "--log-level", "error"),
    ):
        wait_until(
            lambda: redis.scard("resque:workers") == 2,
            what="the dead to go",
            deadline=120,
        )
    entries = failures(redis)
    assert Counter(e["payload"]["args"][0] for e in entries) == Counter(range(busy))
    assert {e["exception"] for e in entries} == {"Resque::PruneDeadWorkerDirtyExit"}
    assert left_over(redis) == set()


@pytest.mark.server_semantics
def test_tls_and_an_acl_user_with_children_that_use_redis(
    server_binary: Path | None, tmp_path: Path
) -> None:
    """The worker's own connection survives what its children do with theirs."""
    if server_binary is None:
        pytest.skip("the embedded server is built without TLS")
    pytest.importorskip("cryptography")
    from tests.support.tls import TlsServer

    with TlsServer(tmp_path, server_binary) as server:
        jobs = 60
        resqued.Client(server.url).enqueue_many(
            ([n] for n in range(jobs)), job="Run", queue="default"
        )
        with (
            pool(server.url, tmp_path, workers=2) as running,
            redis_py.Redis.from_url(server.url) as redis,
        ):
            wait_until(lambda: count(redis, "processed") == jobs, what="every job")
            assert runs(redis) == Counter(map(str, range(jobs)))
            assert failures(redis) == []
            assert running.events("redis_lost") == []
            running.signal(signal.SIGQUIT)
            assert running.wait() == 0
            assert left_over(redis) == set()


# Stands in for a package that is large: its numbers are the same after each fork.
NUMPY = """
import os, redis

def seed():
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        client.rpush("seeded", os.getpid())
"""
LOOKER = """
import os, redis, resqued
import numpy.random

@resqued.job(queue="default", name="Look")
def look():
    with redis.Redis.from_url(os.environ["TEST_REDIS_URL"]) as client:
        client.rpush("seen", os.getpid())
"""


def test_each_child_has_random_numbers_of_its_own(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    package = tmp_path / "numpy"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "random.py").write_text(NUMPY)
    (tmp_path / "looker.py").write_text(LOOKER)
    client = resqued.Client(redis_url)
    for _ in range(3):
        client.enqueue_to("default", "Look")
    with pool(redis_url, tmp_path, "-a", "looker"):
        wait_until(lambda: redis.llen("seen") == 3, what="the jobs")
    seeded = Counter(redis.lrange("seeded", 0, -1))
    ran = set(redis.lrange("seen", 0, -1))
    assert len(ran) == 3
    assert {seeded[pid] for pid in ran} == {1}
