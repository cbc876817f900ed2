"""Wire cases of signals: what they do to the job in hand, and what is recorded."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.compat.dump import holds
from tests.compat.wire import (
    FAILED_ONCE,
    HOLD,
    OK_1,
    Case,
    deviates,
    entry,
    failed,
)
from tests.support.processes import title
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import redis as redis_py

    from tests.support.daemon import Daemon

pytestmark = pytest.mark.server_semantics

QUEUES = {"resque:queues": "set {default}"}
DONE = {"resque:stat:processed": "string 1"}
TERM = "Resque::TermException"
TOLD = "its worker was told to terminate"


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


def tell_worker(daemon: Daemon, signum: signal.Signals) -> int:
    """Signal the worker itself, and return its pid once it has heard."""
    (worker,) = daemon.workers()
    os.kill(worker, signum)

    def has_heard() -> bool:
        return any(e["pid"] == worker for e in daemon.events("signal_received"))

    wait_until(has_heard, what=f"the worker to hear {signum.name}")
    return worker


@deviates("idle-signals", "prune-lock")
@pytest.mark.parametrize("signum", [signal.SIGQUIT, signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_leaves_at_once(case: Case, signum: signal.Signals) -> None:
    case.push("default", OK_1)
    with case.daemon("--interval", "60s") as daemon:
        case.wait_for("resque:stat:processed", b"1")
        case.know(daemon)
        daemon.signal(signum)
        assert daemon.wait() == 0
    assert case.dump() == QUEUES | DONE


@deviates("term-first", "reasons", "prune-lock")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_term_ends_the_job_as_under_term_child(
    case: Case, signum: signal.Signals
) -> None:
    case.push("default", HOLD)
    with case.daemon() as daemon:
        case.wait_for_job()
        case.know(daemon)
        daemon.signal(signum)
        assert daemon.wait() == 0
    ended = entry(HOLD.decode(), TERM, f"SIGTERM: {TOLD}", "<BT>")
    assert case.dump() == QUEUES | FAILED_ONCE | failed(ended)


@deviates("term-first", "prune-lock")
def test_a_job_that_cleans_up_after_term_and_returns_is_a_success(case: Case) -> None:
    case.push("default", b'{"class":"Rescue","args":[]}')
    with case.daemon() as daemon:
        case.wait_for_job()
        case.know(daemon)
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    assert (case.folder / "cleaned").exists()
    assert case.dump() == QUEUES | DONE


@deviates("reasons", "counts", "prune-lock")
def test_a_job_that_ignores_term_is_killed_after_the_grace(case: Case) -> None:
    case.push("default", b'{"class":"Stubborn","args":[]}')
    with case.daemon("--grace", "0.5s") as daemon:
        case.wait_for_job()
        case.know(daemon)
        told_at = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
        assert time.monotonic() - told_at >= 0.5
    error = (
        f"Child process received unhandled signal pid <P> SIGKILL (signal 9): {TOLD}"
    )
    killed = entry('{"class":"Stubborn","args":[]}', "Resque::DirtyExit", error, "<BT>")
    assert case.dump() == QUEUES | FAILED_ONCE | failed(killed)


# Ruby: TERM with a job that ends within RESQUE_PRE_SHUTDOWN_TIMEOUT.
@deviates("pre-shutdown", "prune-lock")
def test_quit_waits_for_the_job(case: Case) -> None:
    case.push("default", HOLD, OK_1)
    with case.daemon() as daemon:
        case.wait_for_job()
        case.know(daemon)
        # First the worker, which tells when it has heard.
        tell_worker(daemon, signal.SIGQUIT)
        daemon.signal(signal.SIGQUIT)
        daemon.wait_for_event("state_changed")
        case.release()
        assert daemon.wait() == 0
    assert case.dump() == QUEUES | DONE | holds("""
        resque:queue:default = list:
          [0] {"class":"Ok","args":[1]}
    """)


@deviates("term-first", "reasons", "prune-lock")
def test_usr1_drops_the_job_and_the_next_one_runs(case: Case) -> None:
    case.push("default", HOLD, OK_1)
    with case.daemon() as daemon:
        case.wait_for_job()
        case.know(daemon)
        daemon.signal(signal.SIGUSR1)
        case.wait_for("resque:stat:processed", b"2")
    dropped = entry(HOLD.decode(), TERM, "SIGTERM: it was dropped (SIGUSR1)", "<BT>")
    assert case.dump() == QUEUES | failed(dropped) | holds("""
        resque:stat:failed = string 1
        resque:stat:processed = string 2
    """)


def test_usr1_without_a_job_does_nothing(case: Case) -> None:
    with case.daemon() as daemon:
        daemon.wait_for_event("master_ready")
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for_event("signal_received")
        case.push("default", OK_1)
        case.wait_for("resque:stat:processed", b"1")
        assert daemon.events("job_failed") == []


@deviates("prune-lock")
def test_usr2_pauses_after_the_job_in_hand_until_cont(case: Case) -> None:
    case.push("default", HOLD, OK_1)
    with case.daemon() as daemon:
        case.wait_for_job()
        case.know(daemon)
        worker = tell_worker(daemon, signal.SIGUSR2)
        case.release()
        wait_until(lambda: title(worker).endswith(": Paused"))
        assert case.redis.get("resque:stat:processed") == b"1"
        assert case.redis.lrange("resque:queue:default", 0, -1) == [OK_1]
        os.kill(worker, signal.SIGCONT)
        case.wait_for("resque:stat:processed", b"2")
    assert case.dump() == QUEUES | {"resque:stat:processed": "string 2"}


@deviates("hup", "prune-lock")
def test_hup_leaves_the_job_alone(case: Case) -> None:
    case.push("default", HOLD)
    with case.daemon() as daemon:
        case.wait_for_job()
        case.know(daemon)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event("reload_done")
        case.release()
        case.wait_for("resque:stat:processed", b"1")
    assert case.dump() == QUEUES | DONE


@deviates("flag-values", "reasons")
@pytest.mark.parametrize(("value", "is_graceful"), [("1", True), ("0", False)])
def test_graceful_term_makes_term_mean_quit(
    case: Case, value: str, is_graceful: bool
) -> None:
    case.push("default", HOLD)
    with case.daemon(env={"GRACEFUL_TERM": value}) as daemon:
        case.wait_for_job()
        daemon.signal(signal.SIGTERM)
        daemon.wait_for_event("state_changed")
        if is_graceful:
            case.release()
        assert daemon.wait() == 0
    errors = [f.fields["error"] for f in case.client.failures.page()]
    assert errors == ([] if is_graceful else [f"SIGTERM: {TOLD}"])
