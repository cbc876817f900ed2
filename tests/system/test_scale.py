"""More and fewer workers: by signals, by orders, by another configuration."""

from __future__ import annotations

import re
import signal

import redis as redis_py

from tests.support.processes import title
from tests.support.site import Site
from tests.support.wait import wait_until


def serving(site: Site) -> list[str]:
    """Return the queue lists of the workers that were not told to quit."""
    return sorted(w["queues"] for w in site.ask("status")["workers"] if not w["quits"])


def test_ttin_and_ttou_add_and_take_away_a_worker(
    site: Site, redis: redis_py.Redis
) -> None:
    with site.running() as running:
        for workers, signum in (
            *((n, signal.SIGTTIN) for n in (3, 4)),
            *((n, signal.SIGTTOU) for n in (3, 2, 1, 0)),
        ):
            running.signal(signum)
            wait_until(
                lambda n=workers: redis.scard("resque:workers") == n,
                what=f"{workers} workers",
            )
        running.signal(signal.SIGTTOU)
        wait_until(lambda: len(running.events("pool_scaled")) == 7, what="the order")
        wait_until(lambda: not site.ask("status")["workers"], what="the last one's end")
        assert running.is_running(), "a master without workers has a reason to be"
        site.enqueue(1)
        running.signal(signal.SIGTTIN)
        site.wait_told(1)
        site.settled(1, 1)
        assert running.events("reload_started") == []


def test_scale_by_the_socket_counts_or_adds(site: Site) -> None:
    with site.running():
        assert site.ask("scale", workers="5")["workers"] == 5
        site.settled(1, 5)
        assert site.ask("scale", workers="-3")["workers"] == 2
        site.settled(1, 2)
        assert site.ask("scale", workers="0", queues="default")["ok"]
        wait_until(lambda: not site.generations(), what="nobody")
        assert site.reload()["ok"], "with nobody to move"
        site.settled(2, 2)


def test_those_who_are_busy_go_last_and_finish_their_jobs(
    site: Site, redis: redis_py.Redis
) -> None:
    site.configure(pools={"default": 3})
    with site.running() as running:
        site.hold("long")
        wait_until(lambda: redis.llen("started"), what="the job to start")
        site.ask("scale", workers=1)
        wait_until(lambda: len(site.generations()) == 1, what="the idle ones to leave")
        (worker,) = site.ask("status")["workers"]
        assert worker["job"]["class"] == "Hold"
        site.ask("scale", workers=0)
        site.let_go("long")
        assert site.wait_told("long").worker == worker["pid"]
        wait_until(lambda: not running.workers(), what="its end")


def test_orders_that_come_during_a_reload_are_not_undone_by_it(site: Site) -> None:
    with site.running() as running:
        site.ask("scale", workers=4)
        site.release("slow", "time.sleep(0.5)")
        running.signal(signal.SIGHUP)
        running.wait_for_event("reload_started")
        site.ask("scale", workers=5)
        site.settled(2, 5)
        # What was asked for before is: the file says how many.
        assert site.reload()["ok"]
        site.settled(3, 2)


def test_pools_that_appear_grow_shrink_and_go_with_a_reload(
    site: Site, redis: redis_py.Redis
) -> None:
    site.configure(pools={"a": 1, "b": 3, "c": 2})
    with site.running():
        site.hold("busy", queue="c")
        wait_until(lambda: redis.llen("started"), what="the job to start")
        busy = next(w["pid"] for w in site.ask("status")["workers"] if w["child"])
        site.release("two")
        site.configure(pools={"a": 3, "b": 1, "d": 1})
        assert site.reload()["ok"]
        assert serving(site) == ["a", "a", "a", "b", "d"]
        for queue in "abd":
            assert site.run(queue, queue=queue).release == "two"
        site.let_go("busy")
        told = site.wait_told("busy")
        assert (told.release, told.worker) == ("one", busy)
        site.settled(2, 5)
        assert site.ask("status")["pools"] == {"a": 3, "b": 1, "d": 1}
        wait_until(lambda: redis.scard("resque:workers") == 5, what="five workers")


def test_other_queue_lists_do_not_interrupt_the_work(
    site: Site, redis: redis_py.Redis
) -> None:
    site.configure(pools={"default": 4})
    with site.running() as running:
        site.configure(pools={"default,other": 2, "other,default": 2})
        running.signal(signal.SIGHUP)
        while not running.events("reload_done"):
            assert redis.scard("resque:workers") >= 4, (
                "one left before another was there"
            )
        assert serving(site) == ["default,other"] * 2 + ["other,default"] * 2


def test_bad_code_with_other_queue_lists_leaves_every_old_worker(site: Site) -> None:
    with site.running() as running:
        site.release("bad", "os.register_at_fork(after_in_child=lambda: os._exit(1))")
        site.configure(pools={"other": 2})
        before = running.workers()
        assert "died at start" in site.reload()["error"]
        # What died at its start may not be reaped yet.
        wait_until(lambda: running.workers() == before, what="the old workers alone")
        assert serving(site) == ["default"] * 2
        assert site.run(1).release == "one"


def test_ps_shows_the_tree_and_what_each_process_does(
    site: Site, redis: redis_py.Redis
) -> None:
    with site.running() as running:
        site.enqueue("long", 600.0)
        wait_until(lambda: redis.llen("started"), what="the job to start")

        def tree() -> list[str]:
            return sorted(title(process.pid) for process in running.processes())

        expected = [
            r"resque-[\d.]+: Forked \d+ at \d{10}",
            r"resque-[\d.]+: Processing default since \d{10} \[Tell\]",
            r"resque-[\d.]+: Standby",
            r"resque-[\d.]+: Standby",
            r"resque-[\d.]+: Waiting for default",
            r"resqued master \[gen 1\] 2/2 workers, 1 busy",
            r"resqued zygote \[gen 1\] site_jobs",
        ]
        wait_until(
            lambda: (
                len(tree()) == len(expected)
                and all(map(re.fullmatch, expected, tree()))
            ),
            what="the titles",
        )
        running.signal(signal.SIGTERM)
        assert running.wait() == 0
