"""A new generation that one worker tries out before the others get it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from tests.support.pool import count, failures, waiting
from tests.support.processes import title
from tests.support.site import Site
from tests.support.wait import wait_until

JOBS = 20
CANARY = f"[reload]\ncanary_jobs = {JOBS}"


@pytest.fixture
def site(redis_url: str, redis: redis_py.Redis, tmp_path: Path) -> Site:
    site = Site(tmp_path, redis_url, redis)
    site.release("one")
    site.configure(CANARY, pools={"default": 4})
    return site


def canary(site: Site) -> int:
    """Return the pid of the only worker of the second generation."""
    workers = site.ask("status")["workers"]
    (pid,) = (worker["pid"] for worker in workers if worker["generation"] == 2)
    return int(pid)


@pytest.fixture
def feed(redis_url: str, redis: redis_py.Redis) -> Callable[[str], None]:
    """Have jobs to do that fail in the release that is named."""
    client = resqued.Client(redis_url)

    def enqueue(bad: str) -> None:
        for _ in range(20 - waiting(redis)):
            client.enqueue_to("default", "FailIn", bad)

    return enqueue


def test_good_new_code_gets_every_worker_after_so_many_jobs(
    site: Site, redis: redis_py.Redis, feed: Callable[[str], None]
) -> None:
    with site.running() as running:
        site.release("two")
        running.signal(signal.SIGHUP)

        def passed() -> bool:
            feed("none")
            return bool(running.events("canary_passed"))

        wait_until(passed, what="the canary to pass", deadline=60)
        (event,) = running.events("canary_passed")
        assert event["jobs"] >= JOBS
        assert event["failed"] == 0
        running.wait_for_event("reload_done")
        site.settled(2, 4)
        wait_until(lambda: not waiting(redis), what="the last jobs")


def test_new_code_whose_jobs_fail_goes_back_and_nobody_else_ever_ran_it(
    site: Site, redis: redis_py.Redis, redis_url: str
) -> None:
    client, jobs = resqued.Client(redis_url), 0
    with site.running() as running:
        site.release("bad")
        running.signal(signal.SIGHUP)

        def failed() -> bool:
            # One at a time, each recorded before the next: how many the canary gets
            # until it is looked at does not depend on how fast it is.
            nonlocal jobs
            if count(redis, "processed") == jobs:
                client.enqueue_to("default", "FailIn", "bad")
                jobs += 1
            return bool(running.events("reload_failed"))

        wait_until(failed, what="the canary to fail", deadline=60)
        (event,) = running.events("reload_failed")
        assert "jobs of the canary" in event["error"]
        assert "rolled back to generation 1" in event["error"]
        assert site.ask("status")["last_reload"]["error"] == event["error"]
        site.settled(1, 4)
        assert site.run("after").release == "one"
        told = site.told()
        assert len({t.worker for t in told if t.release == "bad"}) == 1
        assert len(failures(redis)) == sum(t.release == "bad" for t in told)
        assert 2 <= len(failures(redis)) < JOBS, "it went on for too long"
        wait_until(lambda: not waiting(redis), what="the last jobs")


def test_vacancies_are_filled_by_the_old_while_the_new_is_tried_out(
    site: Site, redis: redis_py.Redis
) -> None:
    with site.running() as running:
        site.release("two")
        running.signal(signal.SIGHUP)
        wait_until(
            lambda: any(
                w["generation"] == 2 and w["phase"] == "waiting"
                for w in site.ask("status")["workers"]
            ),
            what="the canary",
        )
        wait_until(lambda: len(site.generations()) == 4, what="the old one to leave")
        for worker in site.ask("status")["workers"]:
            if worker["generation"] == 1:
                assert site.ask("status")["is_reloading"]
                os.kill(worker["pid"], signal.SIGKILL)
        site.ask("scale", workers=6)
        wait_until(
            lambda: sorted(site.generations()) == [1, 1, 1, 1, 1, 2],
            what="five old workers and a new one",
        )
        assert not running.events("reload_done")


def test_an_idle_canary_waits_and_the_next_job_is_its_own(site: Site) -> None:
    with site.running() as running:
        site.release("two")
        running.signal(signal.SIGHUP)
        wait_until(lambda: 2 in site.generations(), what="the canary")
        wait_until(lambda: len(site.generations()) == 4, what="the old one to leave")
        # No more held back, it has looked for jobs and found none.
        wait_until(lambda: "Waiting" in title(canary(site)), what="the canary to idle")
        assert site.run("first").release == "two"

        def passed() -> bool:
            # Not before it has been there for a moment, however fast its jobs.
            site.run(len(site.told()))
            return bool(running.events("canary_passed"))

        wait_until(passed, what="the canary to pass", deadline=60)
        site.settled(2, 4)


def test_a_reload_while_a_canary_is_tried_out_begins_anew(
    site: Site, redis: redis_py.Redis, feed: Callable[[str], None]
) -> None:
    with site.running() as running:
        site.release("bad")
        running.signal(signal.SIGHUP)
        wait_until(lambda: 2 in site.generations(), what="the canary")
        site.release("good")
        running.signal(signal.SIGHUP)
        wait_until(lambda: 3 in site.generations(), what="the next canary")
        wait_until(
            lambda: sorted(site.generations()) == [1, 1, 1, 3],
            what="the first canary to leave",
        )

        def passed() -> bool:
            feed("bad")
            return bool(running.events("canary_passed"))

        wait_until(passed, what="the canary to pass", deadline=60)
        site.settled(3, 4)
        wait_until(lambda: len(running.zygotes()) == 1, what="one zygote")
        assert running.events("reload_failed") == []
        wait_until(lambda: not waiting(redis), what="the last jobs")


def test_a_canary_serves_a_queue_list_that_is_new(site: Site) -> None:
    with site.running() as running:
        site.release("two")
        site.configure(CANARY, pools={"other,default": 4})
        running.signal(signal.SIGHUP)
        wait_until(
            lambda: (
                sorted(w["queues"] for w in site.ask("status")["workers"])
                == ["default"] * 3 + ["other,default"]
            ),
            what="one worker on the new list",
        )
        for number in range(JOBS):
            site.run(number, queue="other")
        running.wait_for_event("canary_passed")
        site.settled(2, 4)
        assert site.ask("status")["pools"] == {"other,default": 4}
