"""Hot restart: new code, new configuration, and what goes wrong with either."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import venv
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis as redis_py

from tests.support.daemon import ROOT
from tests.support.pool import count, failures, waiting
from tests.support.processes import open_files, title
from tests.support.site import ChildReport, Site
from tests.support.wait import wait_until

EXIT_AT_FORK = "os.register_at_fork(after_in_child=lambda: os._exit(1))"
DIE_WHEN_READY = """
from resqued.worker import WorkerProcess
WorkerProcess._become_idle = lambda *_, **__: os.kill(os.getpid(), 9)
"""
HANG = "time.sleep(600)"
HANG_IN_ANOTHER = "import subprocess; subprocess.run(['sleep', '600'])"


def most_at_once(told: list[ChildReport]) -> int:
    """Return how many workers took jobs at once: from their first to their last."""
    starts: dict[int, list[float]] = {}
    for each in told:
        starts.setdefault(each.worker, []).append(each.began)
    edges = [(min(times), 1) for times in starts.values()]
    edges += [(max(times), -1) for times in starts.values()]
    now = most = 0
    for _, change in sorted(edges):
        now += change
        most = max(most, now)
    return most


def test_a_reload_under_load_loses_nothing_and_no_worker_too_many_takes_jobs(
    site: Site, redis: redis_py.Redis
) -> None:
    workers = 8
    site.configure(pools={"default": workers})
    numbers = itertools.count()

    def feed() -> None:
        """Have jobs wait all the time, however long the reload takes."""
        for _ in range(40 - waiting(redis)):
            site.enqueue(next(numbers), 0.05)

    def of_generation(number: int) -> list[dict[str, Any]]:
        every = site.ask("status")["workers"]
        return [worker for worker in every if worker["generation"] == number]

    with site.running() as running:
        site.enqueue("long", 600.0)
        wait_until(lambda: redis.llen("started"), what="the long job to start")
        wait_until(
            lambda: feed() or redis.llen("told") > 40, what="the load to be under way"
        )
        site.release("two")
        running.signal(signal.SIGHUP)
        fewest = workers
        while not running.events("reload_done"):
            fewest = min(fewest, redis.scard("resque:workers"))
            feed()
        assert fewest == workers, "one left before another was there"
        for _ in range(40):
            site.enqueue(next(numbers), 0.05)
        jobs = next(numbers)
        told = wait_until(
            lambda: t if len(t := site.told()) == jobs else None,
            what="every job",
            deadline=60,
        )
        assert Counter(t.number for t in told) == Counter(map(str, range(jobs)))
        assert most_at_once(told) <= workers
        assert {t.release for t in told} == {"one", "two"}
        old = {t.worker for t in told if t.release == "one"}
        assert not old & {t.worker for t in told if t.release == "two"}
        # The long one continues in its old worker, and is seen to.
        (left,) = wait_until(
            lambda: old if len(old := of_generation(1)) == 1 else None,
            what="the long job's worker alone",
        )
        assert left["quits"]
        assert left["job"]["class"] == "Tell"
        wait_until(
            lambda: f"Quitting after {left['child']} [gen 1]" in title(left["pid"]),
            what="the worker's title",
        )
        wait_until(
            lambda: "1 of an older gen" in title(running.pid), what="the master's title"
        )
        assert "gen 2" in title(running.pid)
        os.kill(left["child"], signal.SIGTERM)
        site.settled(2, workers)
        wait_until(
            lambda: "older" not in title(running.pid), what="the title to follow"
        )
    assert count(redis, "processed") == jobs + 1
    assert len(failures(redis)) == 1, "the long one, which was terminated"


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ("def broken(:", "SyntaxError"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("sys.exit(0)", "SystemExit"),
        (HANG, "not imported within 1.5 s"),
        (HANG_IN_ANOTHER, "not imported within 1.5 s"),
        (EXIT_AT_FORK, "3 workers in a row died at start"),
        (
            "import resqued.worker\nresqued.worker.WorkerProcess._register = sys.exit",
            "died",
        ),
        (DIE_WHEN_READY, "3 workers in a row died at start, the last of SIGKILL"),
        ("os.kill(os.getpid(), 9)", "the zygote died of SIGKILL (signal 9) while it"),
        ("os.kill(os.getpid(), 11)", "the zygote died of SIGSEGV (signal 11)"),
        ("os._exit(3)", "the zygote exited with status 3 while it imported"),
    ],
    ids=[
        *("syntax", "import", "exit", "hang", "hang-in-another"),
        *(
            "exit-at-fork",
            "exit-at-start",
            "die-when-ready",
            "killed",
            "crash",
            "exit-at-once",
        ),
    ],
)
def test_new_code_that_is_no_good_leaves_the_old_at_work(
    release: str, said: str, site: Site
) -> None:
    with site.running() as running:
        # A worker that ends by an exception says which.
        running.may_log_tracebacks = "_register" in release
        before = running.workers()
        site.release("bad", release)
        if release in (HANG, HANG_IN_ANOTHER):
            site.configure("[reload]\nstart_timeout = '1500ms'")
        answer = site.reload()
        assert not answer["ok"]
        assert said in answer["error"]
        (event,) = running.events("reload_failed")
        assert event["level"] == "error"
        assert event["error"] == answer["error"]
        assert site.ask("status")["last_reload"]["error"] == answer["error"]
        assert site.run(1).release == "one"
        site.settled(1, 2)
        assert running.is_running()
        assert set(before) & set(running.workers()), "every old worker was replaced"
        site.release("good")
        site.configure()
        # Nothing is left of the import but the zygote.
        assert site.reload()["ok"]
        site.settled(3, 2)
        assert site.run(2).release == "good"
        wait_until(lambda: len(running.zygotes()) == 1, what="one zygote")
        wait_until(
            lambda: len(psutil.Process(running.pid).children()) == 3,
            what="two workers and a zygote",
        )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[pool", "line"),
        ("[reload]\nstart_timeot = 3", "start_timeot"),
        ("[redis]\nurl = 'redis://elsewhere:1/0'\n[x]", "unknown section [x]"),
        ("[worker]\nhostname = 'another'", "restart it"),
        ("[app2]", "unknown section"),
    ],
)
def test_a_configuration_that_is_no_good_changes_nothing(
    text: str, said: str, site: Site
) -> None:
    with site.running() as running:
        before = running.workers(), running.zygotes()
        site.configure(text)
        answer = site.reload()
        assert not answer["ok"]
        assert said in answer["error"]
        assert [e["error"] for e in running.events("reload_failed")] == [
            answer["error"]
        ]
        wait_until(
            lambda: (running.workers(), running.zygotes()) == before,
            what="those that were there before",
        )
        assert site.run(1).release == "one"
        site.configure()
        assert site.reload()["ok"]


def test_a_zygote_that_is_killed_while_it_imports_fails_the_reload(site: Site) -> None:
    with site.running() as running:
        (old,) = running.zygotes()
        site.release("slow", HANG)
        running.signal(signal.SIGHUP)
        (new,) = wait_until(
            lambda: [z for z in running.zygotes() if z != old], what="the new zygote"
        )
        os.kill(new, signal.SIGKILL)
        (event,) = running.wait_for_event("reload_failed")
        assert "zygote died" in event["error"]
        wait_until(lambda: running.zygotes() == [old], what="the old one alone")
        assert site.run(1).release == "one"


def test_fifty_reloads_in_a_row_come_to_one_generation_and_leave_nothing(
    site: Site,
) -> None:
    with site.running() as running:
        assert site.reload()["ok"]
        site.settled(2, 2)
        before = len(open_files(running.pid))
        size = psutil.Process(running.pid).memory_info().rss
        site.release("slow", "time.sleep(0.2)")
        for _ in range(50):
            begun = len(running.events("reload_started"))
            running.signal(signal.SIGHUP)
            running.wait_for_event("reload_started", count=begun + 1)
        assert running.events("reload_replaced")
        wait_until(
            lambda: not site.ask("status")["is_reloading"], what="the last", deadline=60
        )
        site.settled(52, 2)
        assert site.ask("status")["last_reload"] == {"generation": 52, "error": ""}
        wait_until(lambda: len(running.zygotes()) == 1, what="one zygote")
        wait_until(
            lambda: len(psutil.Process(running.pid).children()) == 3,
            what="two workers and a zygote",
        )
        wait_until(lambda: len(open_files(running.pid)) <= before, what="descriptors")
        assert psutil.Process(running.pid).memory_info().rss - size < 5 << 20
        assert site.run(1).release == "slow"


@pytest.mark.parametrize("way", ["shell", "configuration"])
def test_each_reload_runs_what_the_symlink_means_then(way: str, site: Site) -> None:
    current = site.place / "current"
    app = f'directory = "{current}"' if way == "configuration" else "# PWD"

    def deploy(number: int) -> None:
        place = site.place / f"releases/{number}"
        place.mkdir(parents=True)
        site.release(str(number), into=place)
        link = site.place / "new"
        link.symlink_to(place)
        link.rename(current)

    deploy(0)
    site.configure(app=app, pools={"default": 1})
    cwd = site.place if way == "configuration" else current
    with site.running(cwd=cwd, PWD=str(cwd)):
        assert site.run("a").release == "0"
        for number in range(1, 16):
            deploy(number)
            assert site.reload()["ok"]
            assert site.run(number).release == str(number)


def test_packages_and_the_environment_file_are_read_anew(site: Site) -> None:
    environment = site.place / "environment"
    packages = site.place / "packages"
    packages.mkdir()
    environment.write_text(f"PYTHONPATH={packages}:{ROOT}\nTOLD=1")
    (packages / "library.py").write_text("VERSION = 1")
    site.release(
        "", "import library\nRELEASE = f\"{os.environ['TOLD']}.{library.VERSION}\""
    )
    site.configure(app=f'directory = "{site.app}"\nenvironment = "{environment}"')
    with site.running():
        assert site.run(1).release == "1.1"
        (packages / "library.py").write_text("VERSION = 2")
        assert site.reload()["ok"]
        assert site.run(2).release == "1.2"
        environment.write_text(environment.read_text().replace("TOLD=1", "TOLD='2'"))
        assert site.reload()["ok"]
        assert site.run(3).release == "2.2"
        environment.write_text("no assignment")
        assert f"{environment}, line 1: there is no =" in site.reload()["error"]
        assert site.run(4).release == "2.2"


def test_a_killed_zygote_twenty_times_costs_no_job(
    site: Site, redis: redis_py.Redis
) -> None:
    with site.running() as running:
        site.enqueue("long", 600.0)
        wait_until(lambda: redis.llen("started"), what="the long job")
        before = running.workers()
        for number in range(20):
            (zygote,) = wait_until(running.zygotes, what="a zygote")
            os.kill(zygote, signal.SIGKILL)
            assert site.run(number).release == "one"
            # One that dies again and again at start is made ever more seldom.
            running.wait_for_event("zygote_restored", count=number + 1)
        assert running.workers() == before
        os.kill(before[0], signal.SIGKILL)
        os.kill(before[1], signal.SIGKILL)
        wait_until(
            lambda: (
                not set(running.workers()) & set(before) and len(running.workers()) == 2
            ),
            what="two new workers",
            deadline=60,
        )
        site.settled(1, 2)


def test_an_interpreter_that_is_gone_fails_the_reload_and_not_the_master(
    site: Site,
) -> None:
    """As when the release that holds it has been cleaned up."""
    venv.create(site.place / "venv", symlinks=True)
    python = site.place / "venv/bin/python"
    packages = os.pathsep.join(filter(None, sys.path))
    with site.running(python=str(python), PYTHONPATH=packages) as running:
        python.rename(f"{python}-gone")
        answer = site.reload()
        assert (
            answer["error"] == f"{python} cannot be started: No such file or directory"
        )
        assert site.run(1).release == "one"
        (zygote,) = running.zygotes()
        os.kill(zygote, signal.SIGKILL)
        running.wait_for_event("zygote_failed", count=2)
        assert site.run(2).release == "one"
        Path(f"{python}-gone").rename(python)
        assert site.reload()["ok"]
        site.settled(3, 2)


def test_a_zygote_that_hangs_is_ended_and_the_vacancy_filled(site: Site) -> None:
    with site.running() as running:
        (zygote,) = running.zygotes()
        before = running.workers()
        os.kill(zygote, signal.SIGSTOP)
        os.kill(before[0], signal.SIGKILL)
        running.wait_for_event("worker_stuck", deadline=90)
        running.wait_for_event("zygote_restored")
        wait_until(lambda: before[0] not in running.workers(), what="its end")
        site.settled(1, 2)
        assert before[1] in running.workers()
        assert running.zygotes() != [zygote]
