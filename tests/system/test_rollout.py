"""While slots move to a new generation: ends, pauses, deaths, newer generations."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter

import pytest
import redis as redis_py

from tests.support.pool import failures
from tests.support.processes import title
from tests.support.site import Site
from tests.support.wait import wait_until


def pids(site: Site) -> list[int]:
    """Return the pids of the workers, as the master knows them."""
    return [worker["pid"] for worker in site.ask("status")["workers"]]


@pytest.mark.parametrize("signum", [signal.SIGQUIT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["reload_started", "generation_ready", "reload_done"])
def test_a_master_that_is_told_to_end_during_a_reload_leaves_nothing(
    signum: signal.Signals, when: str, site: Site, redis: redis_py.Redis
) -> None:
    with site.running() as running:
        site.hold(1)
        wait_until(lambda: redis.llen("started"), what="the job to start")
        running.signal(signal.SIGHUP)
        running.wait_for_event(when)
        running.signal(signum)
        if signum is signal.SIGQUIT:
            running.wait_for_event("state_changed")
            site.let_go(1)
        assert running.wait() == 0
        wait_until(lambda: not running.processes(), what="everybody to leave")
        assert redis.scard("resque:workers") == 0
    is_waited_for = signum is signal.SIGQUIT
    assert (len(site.told()), len(failures(redis))) == (
        (1, 0) if is_waited_for else (0, 1)
    )


def test_a_paused_pool_reloads_and_stays_paused(site: Site) -> None:
    with site.running() as running:
        running.signal(signal.SIGUSR2)
        wait_until(lambda: site.ask("status")["is_paused"], what="the pause")
        site.release("two")
        site.enqueue(1)
        assert site.reload()["ok"]
        site.settled(2, 2)
        for worker in pids(site):
            wait_until(lambda w=worker: "Paused" in title(w), what="a paused worker")
        assert site.told() == []
        running.signal(signal.SIGCONT)
        assert site.wait_told(1).release == "two"
        # Both of them take jobs again.
        wait_until(
            lambda: all("Waiting" in title(w) for w in pids(site)),
            what="two waiting workers",
        )


def test_a_pause_that_comes_and_goes_during_a_reload_leaves_nobody_paused(
    site: Site, redis: redis_py.Redis
) -> None:
    site.configure(pools={"default": 4})
    with site.running() as running:
        for number in range(5):
            running.signal(signal.SIGHUP)
            running.wait_for_event("generation_ready", count=number + 1)
            while len(running.events("reload_done")) <= number:
                site.ask("pause")
                site.ask("resume")
            for job in range(4):
                site.hold(f"{number}-{job}")
            # At once, so each of them has one.
            wait_until(
                lambda n=number: redis.llen("started") == 4 * (n + 1),
                what="four jobs at once",
            )
            for job in range(4):
                site.let_go(f"{number}-{job}")
            for job in range(4):
                site.wait_told(f"{number}-{job}")
        wait_until(
            lambda: all("Waiting" in title(w) for w in running.workers()),
            what="four waiting workers",
        )
        last = [t for t in site.told() if t.number.startswith("4-")]
        assert len({t.worker for t in last}) == 4, "somebody took no job"


def test_a_burst_that_is_reloaded_leaves_no_job_behind(
    site: Site, redis: redis_py.Redis
) -> None:
    jobs = 200
    for number in range(jobs):
        site.enqueue(number, 0.02)
    with site.running("--burst") as running:
        running.signal(signal.SIGHUP)
        assert running.wait(120) == 0
    assert Counter(t.number for t in site.told()) == Counter(map(str, range(jobs)))


def test_a_newer_reload_while_slots_move_wins(
    site: Site, redis: redis_py.Redis
) -> None:
    site.configure(pools={"default": 4})
    with site.running() as running:
        for number in range(2, 12):
            site.release(str(number))
            running.signal(signal.SIGHUP)
            running.wait_for_event("generation_ready", count=number - 1)
        site.settled(11, 4)
        running.wait_for_event("reload_done")
        assert site.run(1).release == "11"
        wait_until(lambda: len(running.zygotes()) == 1, what="one zygote")
        wait_until(lambda: redis.scard("resque:workers") == 4, what="four workers")


@pytest.mark.parametrize("victim", ["old", "new"])
def test_workers_that_are_killed_while_slots_move_are_replaced(
    victim: str, site: Site, redis: redis_py.Redis
) -> None:
    site.configure(pools={"default": 4})
    with site.running() as running:
        old = running.workers()
        running.signal(signal.SIGHUP)
        running.wait_for_event("generation_ready")
        if victim == "old":
            for pid in old:
                with contextlib.suppress(ProcessLookupError):  # its turn had come
                    os.kill(pid, signal.SIGKILL)
        else:
            (pid,) = wait_until(
                lambda: [p for p in running.workers() if p not in old][:1],
                what="a new one",
            )
            os.kill(pid, signal.SIGKILL)
        site.settled(2, 4)
        assert site.run(1).release == "one"
        wait_until(lambda: redis.scard("resque:workers") == 4, what="four workers")
        assert [e["error"] for e in running.events("reload_failed")] == []
