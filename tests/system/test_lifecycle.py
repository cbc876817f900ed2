"""A random walk of signals, orders and deaths, against a model of the master.

However it goes, the master ends fully up, with the workers that are wanted, and
runs a job; or fully down, with nothing left behind. `WALKS` sets how many walks
there are; WALKS=200 takes some ten minutes.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar

import psutil
import redis as redis_py
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import resqued
from tests.support.asking import ask, running
from tests.support.daemon import Daemon
from tests.support.pool import left_over, runs
from tests.support.wait import wait_until

WALKS = int(os.environ.get("WALKS", "12"))
STEPS = 12
CONFIGURED = 2
MOST = 4
GOOD, BAD = "value = 1\n", "1 +\n"

UP = [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT]
RESIZE = [signal.SIGTTIN, signal.SIGTTOU]
DOWN = [signal.SIGQUIT, signal.SIGTERM, signal.SIGINT]
TO_WORKERS = [*UP, *RESIZE, *DOWN, signal.SIGKILL]


class Masters:
    """One master after another: a walk that leaves one up hands it to the next."""

    def __init__(self, url: str, redis: redis_py.Redis, folder: Path) -> None:
        self.url, self.redis, self.folder = url, redis, folder
        self.client = resqued.Client(url)
        self.number = 0
        self.steps: list[str] = []
        self.problem: Exception | None = None
        self.daemon: Daemon | None = None
        self._stack = ExitStack()

    def master(self) -> Daemon:
        """Return a master that is up."""
        if self.daemon is None:
            folder = Path(tempfile.mkdtemp(dir=self.folder))
            (folder / "changing.py").write_text(GOOD)
            self.daemon = self._stack.enter_context(
                running(
                    self.url,
                    folder,
                    *("-a", "changing", "--grace", "0.3s"),
                    workers=CONFIGURED,
                )
            )
        return self.daemon

    def forget(self) -> None:
        """The master has ended; see that it has left nothing."""
        self.daemon = None
        self._stack.close()

    def next_number(self) -> int:
        self.number += 1
        return self.number


def step(method: Callable[..., None]) -> Callable[..., None]:
    """Note a step and what went wrong at it: a replay would tell another story."""

    @wraps(method)
    def noted(walk: Walk, **values: Any) -> None:
        walk.masters.steps.append(f"{method.__name__}({values or ''})")
        try:
            method(walk, **values)
        except Exception as error:
            if walk.masters.problem is None:
                walk.masters.problem = error
                error.add_note(f"steps: {', '.join(walk.masters.steps)}")
            raise

    return noted


class Walk(RuleBasedStateMachine):
    """What may happen to a master, and what must hold of it in the end."""

    masters: ClassVar[Masters]

    @initialize()
    @step
    def begin(self) -> None:
        self.masters.steps.clear()
        self.daemon = self.masters.master()
        (self.daemon.cwd / "changing.py").write_text(GOOD)
        assert ask(self.daemon, do="reload", wait=True)["ok"]
        ask(self.daemon, do="resume")
        # More than one where a reload may or may not have come in between.
        self.wanted = {CONFIGURED}
        self.is_stopping = False

    def ask(self, **request: Any) -> dict[str, Any]:
        """Ask, of a master that may be about to leave."""
        with suppress(OSError, AssertionError):
            return ask(self.daemon, **request)
        assert self.is_stopping, "it hung up while it was to run"
        return {"ok": False}

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the master, and see that it was obeyed."""
        heard = self.heard()
        self.daemon.signal(signum)
        if not self.is_stopping:
            wait_until(lambda: self.heard() > heard, what=f"{signum.name} to be heard")

    def heard(self) -> int:
        """Return how many signals the master has taken: workers tell of theirs."""
        every = self.daemon.events("signal_received")
        return sum(event["role"] == "master" for event in every)

    def resize(self, change: Callable[[int], int]) -> None:
        is_reloading = self.ask(do="status").get("is_reloading", True)
        self.wanted = {change(wanted) for wanted in self.wanted}
        if is_reloading:
            self.wanted.add(CONFIGURED)

    @rule(signum=st.sampled_from(UP))
    @precondition(lambda self: not self.is_stopping)
    @step
    def signal_master(self, signum: signal.Signals) -> None:
        self.send(signum)
        if signum is signal.SIGHUP:
            self.wanted.add(CONFIGURED)

    @rule(signum=st.sampled_from(RESIZE))
    @precondition(lambda self: not self.is_stopping)
    @step
    def resize_by_signal(self, signum: signal.Signals) -> None:
        if signum is signal.SIGTTIN and max(self.wanted) >= MOST:
            return
        self.resize(lambda n: n + 1 if signum is signal.SIGTTIN else max(0, n - 1))
        self.send(signum)

    @rule(number=st.integers(0, MOST))
    @precondition(lambda self: not self.is_stopping)
    @step
    def scale(self, number: int) -> None:
        self.resize(lambda _: number)
        assert self.ask(do="scale", workers=number)["ok"]

    @rule(is_good=st.booleans(), with_master=st.booleans())
    @precondition(lambda self: not self.is_stopping)
    @step
    def reload(self, is_good: bool, with_master: bool) -> None:
        (self.daemon.cwd / "changing.py").write_text(GOOD if is_good else BAD)
        answer = self.ask(do="reload", wait=True, master=with_master)
        (self.daemon.cwd / "changing.py").write_text(GOOD)
        assert answer["ok"] is is_good, answer
        if is_good:
            self.wanted = {CONFIGURED}

    @rule(order=st.sampled_from(["pause", "resume", "status", "drain"]))
    @step
    def order(self, order: str) -> None:
        self.ask(do=order)

    @rule(seconds=st.sampled_from([0, 0.05, 30]))
    @precondition(lambda self: not self.is_stopping)
    @step
    def enqueue(self, seconds: float) -> None:
        self.masters.client.enqueue_to("default", "Nap", seconds)

    @rule()
    @step
    def kill_jobs(self) -> None:
        self.ask(do="kill", older=0)

    @rule(signum=st.sampled_from(TO_WORKERS), which=st.integers(0, MOST))
    @step
    def signal_worker(self, signum: signal.Signals, which: int) -> None:
        workers = self.daemon.workers()
        if which < len(workers):
            with suppress(psutil.Error):
                psutil.Process(workers[which]).send_signal(signum)

    @rule()
    @step
    def kill_zygote(self) -> None:
        for pid in self.daemon.zygotes()[:1]:
            with suppress(psutil.Error):
                psutil.Process(pid).kill()

    @rule(signum=st.sampled_from(DOWN), is_meant=st.integers(0, 3))
    @step
    def stop(self, signum: signal.Signals, is_meant: int) -> None:
        if is_meant == 0 and self.daemon.is_running():
            self.is_stopping = True
            self.daemon.signal(signum)

    @step
    def teardown(self) -> None:
        if not hasattr(self, "daemon"):
            return
        if self.is_stopping:
            self._is_fully_down()
        else:
            self._is_fully_up()

    def _is_fully_down(self) -> None:
        """A job of half a minute may be in the way of a QUIT; drop it."""
        wait_until(self._is_ended, what="the master to end", deadline=60)
        assert self.daemon.wait() == 0
        self.masters.forget()
        assert left_over(self.masters.redis) - {b"resque:queue:default"} == set()
        self.masters.redis.delete("resque:queue:default")

    def _is_ended(self) -> bool:
        if self.daemon.is_running():
            self.daemon.signal(signal.SIGUSR1)
        return not self.daemon.is_running()

    def _is_fully_up(self) -> None:
        # Whatever still runs or waits is of no interest any more.
        self.masters.redis.delete("resque:queue:default")
        wait_until(self._is_settled, what="the wanted workers", deadline=60)
        # No worker, no job.
        self.ask(do="scale", workers=CONFIGURED)
        self.ask(do="resume")
        number = self.masters.next_number()
        self.masters.client.enqueue_to("default", "Run", number)
        wait_until(
            lambda: runs(self.masters.redis)[str(number)],
            what="a job to run",
            deadline=60,
        )

    def _is_settled(self) -> bool:
        self.ask(do="kill", older=0)
        status = self.ask(do="status")
        known = {worker["id"].encode() for worker in status["workers"]}
        phases = {worker["phase"] for worker in status["workers"]}
        return (
            not status["is_reloading"]
            and len(status["workers"]) in self.wanted
            and phases <= {"waiting"}
            and self.masters.redis.smembers("resque:workers") == known
        )


def test_a_random_walk_ends_fully_up_or_fully_down(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    masters = Walk.masters = Masters(redis_url, redis, tmp_path)
    try:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Walk,
            settings=settings(
                max_examples=WALKS,
                stateful_step_count=STEPS,
                deadline=None,
                # What happened cannot be made to happen again, nor be made smaller.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
    except Exception:
        if masters.problem is not None:
            raise masters.problem from None
        raise
    finally:
        masters.forget()
