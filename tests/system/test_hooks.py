"""Every hook and all that it may do: the outcome of its job, counters, its worker."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

import resqued
from tests.support import hooked
from tests.support.daemon import Daemon
from tests.support.processes import title
from tests.support.wait import wait_until

ACTIONS = ("return", "false", "raise", "hang", "kill")
TIMINGS = {"RESQUED_TIMINGS": "hook_limit=0.5 sample_interval=0.1"}
CONFIG = """
[worker]
exit_grace = 0.5
"""
APP = ("-a", "tests.support.hooked", "-c", "resqued.toml", "-n", "1")

DIED = "Resque::DirtyExit"
TIMEOUT = "JobTimeout"
# The exception in the failure entry of the job, for each kind of hook and each action.
# None: the job is a success.
JOB_HOOKS: dict[str, dict[str, str | None]] = {
    "before_perform": {"raise": "ValueError", "hang": TIMEOUT, "kill": DIED},
    "around_perform": {"raise": "ValueError", "hang": TIMEOUT, "kill": DIED},
    "after_perform": {"raise": "ValueError", "hang": TIMEOUT, "kill": DIED},
    "before_fork": {"raise": "ValueError", "hang": "TimeoutError", "kill": DIED},
    "after_fork": {"raise": "ValueError", "hang": "TimeoutError", "kill": DIED},
    "on_failure": dict.fromkeys(ACTIONS, "LookupError"),
    "on_failure after death": dict.fromkeys(ACTIONS, DIED),
}
# The job itself ran, unless the hook before it did not return.
RUNS_BEFORE = {"before_perform", "around_perform", "before_fork", "after_fork"}


def notes(folder: Path) -> list[str]:
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def keys(redis: redis_py.Redis) -> set[bytes]:
    """Return all keys, without those that are kept for some days."""
    found = set(redis.keys("resque:*"))
    kept = (b"resque:resqued:deaths:", b"resque:resqued:hist:")
    lasting = {key for key in found if key.startswith(kept)}
    return found - lasting - {b"resque:resqued:followed", b"resque:resqued:jobs"}


def failures(redis: redis_py.Redis) -> dict[tuple[str, ...], dict[str, Any]]:
    entries = [json.loads(raw) for raw in redis.lrange("resque:failed", 0, -1)]
    return {tuple(entry["payload"]["args"]): entry for entry in entries}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "resqued.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def client(redis_url: str) -> resqued.Client:
    return resqued.Client(redis_url)


def test_the_hooks_of_a_job_cost_no_worker_no_job_and_no_entry(
    redis: redis_py.Redis, redis_url: str, folder: Path, client: resqued.Client
) -> None:
    (folder / "before_fork").touch()
    table = [(kind, action) for kind in JOB_HOOKS for action in ACTIONS]
    limited = hooked.hooked.limited(timeout=0.3)
    for kind, action in table:
        needs_limit = action == "hang" and kind.endswith("_perform")
        client.enqueue(limited if needs_limit else hooked.hooked, kind, action)
    options = ("hooked", *APP, "-r", redis_url, "--burst")
    with Daemon(*options, cwd=folder, env=TIMINGS, may_log_tracebacks=True) as daemon:
        assert daemon.wait(120) == 0
        events = {event["event"] for event in daemon.events()}
        assert len(daemon.events("worker_spawned")) == 1
        problems = daemon.events("hook_failed")
    assert not events & {"worker_died", "worker_stuck", "worker_failed", "child_failed"}
    found = failures(redis)
    outcomes = {(k, a): JOB_HOOKS[k].get(a) for k, a in table}
    assert {job: entry["exception"] for job, entry in found.items()} == {
        job: exception for job, exception in outcomes.items() if exception
    }
    noted = notes(folder)
    for kind, action in table:
        did_run = f"perform {kind} {action}" in noted
        assert did_run == (kind not in RUNS_BEFORE or action in {"return", "false"}), (
            kind,
            action,
        )
    names = {line.rpartition(" ")[0] for line in noted}
    assert {f"on_failure: LookupError {action}" for action in ACTIONS} <= names
    assert {f"on_failure after death: DirtyExit {a}" for a in ACTIONS} <= names
    # A hook of a failure that raises has no effect but a line.
    assert len([p for p in problems if "failed" in p["hook"]]) == 2
    # One that hangs is killed in the child, or in a process of its own.
    late = [p["error"] for p in problems if p["hook"] == "on_failure"]
    assert sum("exit_grace, 0.5 s" in error for error in late) == 1
    assert sum("ran for longer than" in error for error in late) == 1
    assert redis.get("resque:stat:processed") == b"%d" % len(table)
    assert redis.get("resque:stat:failed") == b"%d" % len(found)
    assert redis.scard("resque:workers") == 0
    kept = (b"queues", b"failed", b"stat:processed", b"stat:failed")
    assert keys(redis) - {b"resque:pruning_dead_workers_in_progress"} == {
        b"resque:" + name for name in kept
    }


@pytest.mark.parametrize("action", ACTIONS)
def test_the_hooks_of_a_worker_cost_no_worker_and_no_job(
    action: str,
    redis: redis_py.Redis,
    redis_url: str,
    folder: Path,
    client: resqued.Client,
) -> None:
    (folder / "action").write_text(action)
    options = ("hooked", *APP, "-r", redis_url)

    def noted(kind: str) -> bool:
        return f"{kind} {action}" in {x.rpartition(" ")[0] for x in notes(folder)}

    with Daemon(*options, cwd=folder, env=TIMINGS, may_log_tracebacks=True) as daemon:
        daemon.wait_for_event("master_ready")
        (worker,) = daemon.workers()
        # Not at the start: the worker has had no job.
        assert not noted("queue_empty")
        client.enqueue(hooked.hooked, "", "")
        wait_until(lambda: noted("queue_empty"), what="queue_empty")
        daemon.signal(signal.SIGUSR2)
        wait_until(lambda: noted("before_pause"), what="before_pause")
        wait_until(lambda: "Paused" in title(worker), what="the pause")
        client.enqueue(hooked.hooked, "", "")
        daemon.signal(signal.SIGCONT)
        wait_until(lambda: noted("after_pause"), what="after_pause")
        wait_until(lambda: redis.get("resque:stat:processed") == b"2", what="the job")
        assert daemon.workers() == [worker]
        daemon.signal(signal.SIGQUIT)
        assert daemon.wait() == 0
        problems = [event["hook"] for event in daemon.events("hook_failed")]
        assert not daemon.events("worker_died")
    lines = notes(folder)
    every = {"before_first_fork", "queue_empty", "before_pause", "after_pause"}
    every |= {"shutdown", "worker_exit"}
    assert all(noted(kind) for kind in every)
    # None in the worker itself.
    assert str(worker) not in {line.rpartition(" ")[2] for line in lines}
    # Those after one that raises run all the same.
    assert ("second return" in {x.rpartition(" ")[0] for x in lines}) == (
        action in {"return", "false", "raise"}
    )
    named = {hook.rpartition(".")[2] for hook in problems}
    assert named == (every if action in {"raise", "hang", "kill"} else set())
    assert not redis.llen("resque:failed")
    assert not redis.scard("resque:workers")


def test_with_before_fork_no_child_waits_for_a_job(
    redis_url: str, folder: Path, client: resqued.Client
) -> None:
    options = ("hooked", *APP, "-r", redis_url)
    with Daemon(*options, cwd=folder, env=TIMINGS) as daemon:
        daemon.wait_for_event("master_ready")
        wait_until(daemon.children, what="a child that waits")
        (folder / "before_fork").touch()
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event("reload_done")
        (worker,) = daemon.workers()
        client.enqueue(hooked.hooked, "before_fork", "return")
        wait_until(
            lambda: any(n.startswith("before_fork") for n in notes(folder)),
            what="before_fork",
        )
        wait_until(lambda: "Waiting" in title(worker), what="an idle worker")
        wait_until(lambda: not daemon.children(worker), what="no child")


def test_a_job_sees_what_it_is(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, client: resqued.Client
) -> None:
    (tmp_path / "seeing.py").write_text(
        "import json, threading, resqued\n"
        "def note(name, job=None):\n"
        "    job = job or resqued.current_job()\n"
        "    fields = [job.queue, job.class_name, list(job.args), job.attempt]\n"
        "    text = json.dumps([name, *fields, job.worker])\n"
        "    print(text, file=open('seen', 'a'))\n"
        "@resqued.job(queue='low', name='See')\n"
        "def see(number, names):\n"
        "    note('job')\n"
        "    thread = threading.Thread(target=note, args=('thread',))\n"
        "    thread.start(); thread.join()\n"
        "@resqued.hook.around_perform\n"
        "def all_jobs(job):\n"
        "    note('all', job)\n"
        "    yield\n"
        "assert resqued.current_job() is None\n"
    )
    client.enqueue_to("low", "See", 4, ["a"])
    options = ("low", "-a", "seeing", "-r", redis_url, "--burst")
    with Daemon(*options, cwd=tmp_path) as daemon:
        assert daemon.wait() == 0
        (spawned,) = daemon.events("worker_spawned")
    expected = ["low", "See", [4, ["a"]], 1, spawned["worker"]]
    lines = (tmp_path / "seen").read_text().splitlines()
    seen = [json.loads(line) for line in lines]
    assert seen == [[name, *expected] for name in ("all", "job", "thread")]
    assert redis.llen("resque:failed") == 0
    assert resqued.current_job() is None


@pytest.mark.parametrize("kind", ["before_fork", "after_fork"])
def test_a_child_that_a_fork_hook_has_not_prepared_runs_no_other_job(
    kind: str, redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "preparing.py").write_text(
        "import os, pathlib, resqued\n"
        "READY = []\n"
        f"@resqued.hook.{kind}\n"
        "def prepare(job):\n"
        "    if not pathlib.Path('tried').exists():\n"
        "        pathlib.Path('tried').touch()\n"
        "        raise OSError('the database is away')\n"
        "    READY.append(os.getpid())\n"
        "@resqued.job(queue='low', name='See')\n"
        "def see(number):\n"
        "    print(number, READY == [os.getpid()], file=open('seen', 'a'))\n"
    )
    (tmp_path / "resqued.toml").write_text("[worker]\njobs_per_child = 3\n")
    client = resqued.Client(redis_url)
    for number in range(5):
        client.enqueue_to("low", "See", number)
    options = ("low", "-a", "preparing", "-r", redis_url, "--burst")
    with Daemon(*options, cwd=tmp_path) as daemon:
        assert daemon.wait(120) == 0
    assert (tmp_path / "seen").read_text() == "".join(
        f"{n} True\n" for n in range(1, 5)
    )
    assert [entry["error"] for entry in failures(redis).values()] == [
        "the database is away"
    ]
