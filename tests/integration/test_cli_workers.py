"""`resqued workers`: who is shown how, and who may be removed."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from resqued.store import pruning
from resqued.wire.worker_entry import Identity
from tests.support.cli import HOST, NS, Run, add_worker, give_job, server_time
from tests.support.daemon import Daemon
from tests.support.wait import scaled, wait_until

pytestmark = pytest.mark.server_semantics


def test_a_foreign_worker_is_removed_and_its_job_becomes_a_failure(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    worker_id = "other:7:mail"
    add_worker(redis, worker_id, server_time(redis))
    give_job(redis, worker_id, "2026-11-23T11:38:35Z")
    redis.set(f"{NS}worker:{worker_id}:started", "x")
    result = run("workers", "remove", worker_id)
    assert result.stdout == (
        f"removed worker {worker_id}; its job Slow is now a failure\n"
    )
    (failure,) = client.failures.page()
    assert failure.fields["exception"] == "Resque::DirtyExit"
    assert failure.fields["error"] == "Job still being processed"
    assert failure.fields["payload"] == {"class": "Slow", "args": [7]}
    assert (failure.fields["worker"], failure.queue) == (worker_id, "mail")
    left = {key.decode() for key in redis.keys("*")}
    assert left == {f"{NS}failed", f"{NS}stat:processed", f"{NS}stat:failed"}
    result = run("workers", "remove", worker_id, fails=resqued.ResquedError)
    assert str(result.exception) == (
        f"there is no worker '{worker_id}'; `resqued workers` lists them"
    )


def test_an_idle_worker_that_never_gave_a_sign_is_removed(
    run: Run, redis: redis_py.Redis
) -> None:
    add_worker(redis, f"{HOST}:999999999:q")
    result = run("workers", "remove", f"{HOST}:999999999:q")
    assert result.stdout == f"removed worker {HOST}:999999999:q\n"
    assert redis.keys("*") == []


def test_a_live_worker_of_this_host_is_refused_and_a_dead_one_shown(
    run: Run, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with Daemon(
        *("default", "-a", "tests.support.jobs"),
        cwd=tmp_path,
        env={"TEST_REDIS_URL": redis_url, "REDIS_URL": redis_url},
    ) as daemon:
        daemon.wait_for_event("master_ready")
        run("enqueue", "Sleep", "30", "-q", "default")
        redis.blpop("started", scaled(30))
        (worker,) = json.loads(run("status", "--json").stdout)["workers"]
        assert (worker["state"], worker["host"]) == ("working", HOST)
        assert worker["pid"] in daemon.workers()
        assert worker["job"]["class"] == "Sleep"
        result = run("workers", "remove", worker["id"], fails=resqued.ResquedError)
        assert str(result.exception) == (
            f"worker {worker['id']} is alive, as pid {worker['pid']} of this host:"
            " stop it first, with QUIT or TERM"
        )
        identity = redis.hget(f"{NS}resqued:workers", worker["id"])
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    # As if nobody had been there to bury it.
    add_worker(redis, worker["id"], server_time(redis))
    redis.hset(f"{NS}resqued:workers", worker["id"], identity)
    (dead,) = json.loads(run("workers", "--json").stdout)
    assert dead["state"] == "dead"
    run("workers", "remove", worker["id"])
    assert json.loads(run("workers", "--json").stdout) == []


def test_a_live_ruby_worker_of_this_host_is_refused(
    run: Run, redis: redis_py.Redis
) -> None:
    with subprocess.Popen(
        ["bash", "-c", 'exec -a "resque-3.0.0: Waiting for q" sleep 60'],
    ) as ruby:
        try:
            cmdline = Path(f"/proc/{ruby.pid}/cmdline")
            wait_until(lambda: b"Waiting" in cmdline.read_bytes().split(b"\0")[0])
            worker_id = f"{HOST}:{ruby.pid}:q"
            add_worker(redis, worker_id)
            run("workers", "remove", worker_id, fails=resqued.ResquedError)
            assert redis.sismember(f"{NS}workers", worker_id)
        finally:
            ruby.kill()
    run("workers", "remove", worker_id)


def test_prune_removes_the_dead_and_the_silent_and_counts_the_unknown(
    run: Run, redis: redis_py.Redis, client: resqued.Client
) -> None:
    alive, silent, unknown = "web1:1:q", "web2:2:mail", "web3:3:q"
    add_worker(redis, alive, server_time(redis))
    add_worker(redis, silent, server_time(redis, ago=301))
    give_job(redis, silent, "2026-11-23T11:38:35Z")
    add_worker(redis, unknown)
    dead = f"{HOST}:999999999:q"
    add_worker(redis, dead, server_time(redis))
    here = pruning.here()
    identity = Identity(here.boot, here.pids, 999999999, 1, 60.0, "x")
    redis.hset(f"{NS}resqued:workers", dead, identity.encode())

    before = sorted(redis.keys("*"))
    left = "left 1 unknown alone: `resqued workers remove` is for it"
    assert set(run("workers", "prune", "--dry-run").stdout.splitlines()) == {
        f"would remove worker {dead}, dead here",
        f"would remove worker {silent}, silent; its job Slow would become a failure",
        f"would remove 2 workers; {left}",
    }
    assert sorted(redis.keys("*")) == before
    assert set(run("workers", "prune").stdout.splitlines()) == {
        f"removed worker {dead}, dead here",
        f"removed worker {silent}, silent; its job Slow is now a failure",
        f"removed 2 workers; {left}",
    }
    assert redis.smembers(f"{NS}workers") == {alive.encode(), unknown.encode()}
    (failure,) = client.failures.page()
    assert failure.fields["exception"] == "Resque::PruneDeadWorkerDirtyExit"
    assert failure.fields["error"] == (
        f"Worker {silent} did not gracefully exit while processing Slow"
    )
    assert redis.hlen(f"{NS}resqued:workers") == 0


def test_prune_removes_what_ruby_leaves_of_a_worker_that_it_pruned(
    run: Run, redis: redis_py.Redis
) -> None:
    """Nothing but the identity, of which Ruby knows nothing."""
    gone, busy = "web4:4:q", "web4:5:q"
    for worker_id in (gone, busy):
        identity = Identity("another boot", "pid:[1]", 4, 1, 60.0, "x")
        redis.hset(f"{NS}resqued:workers", worker_id, identity.encode())
    # This one was alive: it has taken another job since.
    give_job(redis, busy, "2026-11-23T11:38:35Z")
    assert run("workers", "prune").stdout.startswith(f"removed worker {gone}, silent\n")
    assert redis.hkeys(f"{NS}resqued:workers") == [busy.encode()]
    assert redis.exists(f"{NS}failed") == 0


def test_prune_leaves_the_silent_to_whoever_has_the_lock(
    run: Run, redis: redis_py.Redis
) -> None:
    silent = "web2:2:mail"
    add_worker(redis, silent, server_time(redis, ago=301))
    redis.set(f"{NS}pruning_dead_workers_in_progress", "ruby", ex=60)
    redis.config_resetstat()
    told = run("workers", "prune").stdout
    # Ruby records the job of a worker that it prunes in three steps: it is waited for.
    assert redis.info("commandstats")["cmdstat_pttl"]["calls"] > 2
    said = "removed 0 workers; left 1 silent to the process that has the pruning lock:"
    match = re.fullmatch(rf"{said} try again in (\d+) s\n", told)
    assert match, told
    assert 0 < int(match[1]) <= 60
    assert redis.sismember(f"{NS}workers", silent)
    redis.set(f"{NS}pruning_dead_workers_in_progress", "ruby", ex=57)
    redis.config_resetstat()
    assert run("workers", "prune").stdout.startswith("removed 0 workers; left 1 silent")
    assert redis.info("commandstats")["cmdstat_pttl"]["calls"] == 1
    redis.delete(f"{NS}pruning_dead_workers_in_progress")
    assert run("workers", "prune").stdout.startswith(f"removed worker {silent}, silent")
    assert not redis.exists(f"{NS}workers")


def test_prune_leaves_a_live_worker_alone(
    run: Run, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with Daemon(
        *("default", "-a", "tests.support.jobs", "-r", redis_url), cwd=tmp_path
    ) as daemon:
        daemon.wait_for_event("master_ready")
        assert run("workers", "prune").stdout == "removed 0 workers\n"
        assert redis.scard(f"{NS}workers") == 1
