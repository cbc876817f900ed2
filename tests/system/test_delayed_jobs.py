"""Masters move delayed jobs when they are due, each once, whatever dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from tests.support.daemon import Daemon
from tests.support.pool import failures, left_over, pool, runs
from tests.support.proxy import Proxy
from tests.support.wait import wait_until

QUICK = "[redis]\ntimeout = '1s'\n"
LEASE = "resque:resqued:scheduler"


def number_of_commands(redis: redis_py.Redis) -> Counter[str]:
    """Return how often the server was asked what."""
    stats = redis.info("commandstats")
    return Counter({name: value["calls"] for name, value in stats.items()})


def test_a_job_runs_when_it_is_due_and_a_nearer_one_before_it(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with pool(redis_url, tmp_path) as daemon:
        daemon.wait_for_event("master_ready")
        client.enqueue_in_with_queue("default", "1h", "Run", 1)
        wait_until(lambda: redis.exists(LEASE), what="the master to be elected")
        client.enqueue_in_with_queue("default", "1s", "Run", 2)
        (_, nearer) = sorted(int(job.time) for job in client.delayed)[::-1]
        wait_until(lambda: runs(redis)["2"], what="the nearer job to run")
        assert redis.time()[0] >= nearer
        assert [job.args for job in client.delayed] == [(1,)]
        assert daemon.events("scheduler_elected")
        assert client.cancel_delayed("Run", 1) == 1
        wait_until(lambda: not redis.exists(LEASE), what="the end of the election")
    assert runs(redis) == Counter("2")
    assert left_over(redis) == set()


def test_an_idle_pool_without_delayed_jobs_asks_nothing_for_them(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """Its scripts run at the start, and then never again."""
    with pool(redis_url, tmp_path, config="[worker]\ninterval = '200ms'\n") as daemon:
        daemon.wait_for_event("master_ready")
        wait_until(
            lambda: number_of_commands(redis)["cmdstat_zrange"], what="the first look"
        )
        redis.config_resetstat()
        wait_until(
            lambda: number_of_commands(redis)["cmdstat_get"] > 20,
            what="the master to look at the queues twenty times",
        )
        asked = number_of_commands(redis)
        assert not asked["cmdstat_zrange"]
        assert not asked["cmdstat_zrangebyscore"]
        assert not asked["cmdstat_pttl"]


def test_after_the_death_of_the_elected_master_another_moves_what_is_due(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with ExitStack() as stack:
        masters: dict[str, Daemon] = {}

        def start(name: str) -> None:
            place = tmp_path / name
            place.mkdir()
            daemon = stack.enter_context(pool(redis_url, place, may_hang=True))
            daemon.wait_for_event("master_ready")
            masters[f":{daemon.pid}:"] = daemon

        for n in range(3):
            start(str(n))
        now = redis.time()[0]
        for second in range(1, 7):
            when = datetime.fromtimestamp(now + second, UTC)
            jobs = [("Run", second * 100 + n) for n in range(20)]
            client.enqueue_many_later(jobs, at=when, queue="default")
        # As long as this one waits, a master is elected.
        client.enqueue_in_with_queue("idle", "1h", "Run", 0)
        for turn in range(2):
            kill_the_elected(redis, masters)
            start(f"later-{turn}")
        wait_until(lambda: client.delayed.count() == 1, what="all to be moved")
        wait_until(lambda: len(runs(redis)) + len(failures(redis)) >= 120, what="120")
    # A job whose worker died with its master is a failure; none ran twice.
    assert set(runs(redis).values()) == {1}


def test_a_stopped_master_moves_nothing_twice_when_it_continues(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with ExitStack() as stack:
        masters: dict[str, Daemon] = {}
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            daemon = stack.enter_context(pool(redis_url, tmp_path / name))
            daemon.wait_for_event("master_ready")
            masters[f":{daemon.pid}:"] = daemon
        client.enqueue_in_with_queue("idle", "1h", "Run", 0)
        holder = wait_until(lambda: redis.get(LEASE), what="an elected master")
        mark = next(mark for mark in masters if mark.encode() in holder)
        stopped = masters.pop(mark)
        (other,) = masters.values()
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            now = redis.time()[0]
            for number in range(40):
                when = datetime.fromtimestamp(now + number % 8, UTC)
                client.enqueue_at_with_queue("default", when, "Run", number + 1)
            wait_until(lambda: redis.get(LEASE) not in (None, holder), what="another")
            wait_until(lambda: len(runs(redis)) > 10, what="jobs to be moved")
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        # It has looked by now, when the lease of the other was the newer one.
        wait_until(lambda: client.delayed.count() == 1, what="all to be moved")
        wait_until(lambda: len(runs(redis)) == 40, what="all to run")
        assert other.events("scheduler_elected")
        other.signal(signal.SIGQUIT)
        stopped.wait_for_event("scheduler_elected", count=2)
    assert set(runs(redis).values()) == {1}
    assert not failures(redis)


def kill_the_elected(redis: redis_py.Redis, masters: dict[str, Daemon]) -> None:
    """Kill the elected master, and return when another is."""
    holder = wait_until(lambda: redis.get(LEASE), what="an elected master")
    mark = next(mark for mark in masters if mark.encode() in holder)
    os.kill(masters.pop(mark).pid, signal.SIGKILL)
    wait_until(
        lambda: redis.get(LEASE) not in (None, holder),
        what="another elected master",
    )


@pytest.mark.parametrize("how", ["refuse", "black_hole"])
def test_what_is_due_while_redis_is_away_runs_once_when_it_is_back(
    how: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    with (
        Proxy(port) as proxy,
        pool(proxy.url, tmp_path, direct_url=redis_url, config=QUICK) as daemon,
    ):
        daemon.wait_for_event("master_ready")
        for number in range(50):
            client.enqueue_in_with_queue("default", f"{number % 3 + 1}s", "Run", number)
        getattr(proxy, how)()
        if how == "refuse":
            proxy.cut()
        daemon.wait_for_event("redis_lost")
        last = max(int(job.time) for job in client.delayed)
        wait_until(lambda: redis.time()[0] > last, what="all to be due")
        proxy.forward()
        wait_until(lambda: runs(redis).total() >= 50, what="all to run")
        wait_until(lambda: client.delayed.count() == 0, what="nothing to wait")
    assert runs(redis) == Counter(str(number) for number in range(50))
    assert left_over(redis) - {LEASE.encode()} == set()


def test_what_is_due_while_replies_are_lost_is_enqueued_once(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    """Delayed and recurring jobs; the replies of the scripts that move them."""
    client = resqued.Client(redis_url)
    port = int(redis_url.rpartition(":")[2].partition("/")[0])

    def ticks() -> tuple[int, int]:
        """Return how many ticks were enqueued, and the last; read in one step."""
        pipe = redis.pipeline(transaction=True)
        pipe.llen("resque:queue:ticks")
        pipe.hget("resque:resqued:schedules:last", "each-second")
        size, last = pipe.execute()
        return size, int(last or 0)

    with (
        Proxy(port) as proxy,
        pool(
            proxy.url,
            tmp_path,
            queues="idle",
            direct_url=redis_url,
            config=QUICK + RECURRING.replace('"default"', '"ticks"'),
        ) as daemon,
    ):
        daemon.wait_for_event("master_ready")
        wait_until(lambda: ticks()[0], what="a tick")
        size, begin = ticks()
        for number in range(120):
            client.enqueue_in_with_queue("due", f"{number % 4 + 1}s", "Run", number)
        for count in (1, 2, 1):
            lost = proxy.counts().lost
            proxy.swallow_replies(count=count, of="EVALSHA")
            wait_until(lambda n=lost: proxy.counts().lost > n, what="a loss")
            proxy.forward()
        wait_until(lambda: client.delayed.count() == 0, what="all to be moved")
        more, end = ticks()
    moved = [job["args"][0] for job in client.peek("due", 0, 500)]
    assert sorted(moved) == list(range(120))
    assert more - size == end - begin


RECURRING = """
[schedule.each-second]
class = "Run"
queue = "default"
args = [1]
every = "1s"
missed = "all"
"""


def test_each_tick_is_enqueued_once_while_masters_die(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    last = "resque:resqued:schedules:last"

    def ticks() -> int:
        return int(redis.hget(last, "each-second") or 0)

    with ExitStack() as stack:
        masters = []
        for n in range(3):
            place = tmp_path / str(n)
            place.mkdir()
            # Of a queue that nobody works on, so that the jobs can be counted.
            daemon = pool(
                redis_url, place, queues="idle", config=RECURRING, may_hang=True
            )
            masters.append(stack.enter_context(daemon))
        begin = wait_until(ticks, what="a schedule to be published")
        for daemon in masters[:2]:
            wait_for_two(ticks)
            os.kill(daemon.pid, signal.SIGKILL)
        wait_for_two(ticks)
        # Both in one step: the number of jobs belongs to the last tick.
        with redis.pipeline(transaction=True) as pipe:
            size, end = (
                pipe.llen("resque:queue:default").hget(last, "each-second").execute()
            )
        assert size == int(end) - begin


def wait_for_two(ticks: Callable[[], int]) -> None:
    """Return when two more ticks were dealt with."""
    before = ticks()
    wait_until(lambda: ticks() > before + 1, what="two more ticks")


DECLARING = """
import resqued
from tests.support.jobs import note

@resqued.every("1s", args=[7])
@resqued.job(queue="default", name="Declared")
def declared(number):
    note("runs", number)
"""


def test_a_schedule_that_the_application_declares_is_enqueued(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    (tmp_path / "declaring.py").write_text(DECLARING)
    with pool(redis_url, tmp_path, "-a", "declaring") as daemon:
        wait_until(lambda: runs(redis)["7"] > 1, what="two runs")
        (event, *_) = daemon.wait_for_event("schedule_enqueued")
        assert (event["name"], event["queue"]) == ("Declared", "default")
