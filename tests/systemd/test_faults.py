"""What systemd and a master do together when something goes wrong."""

from __future__ import annotations

import re

import pytest

from tests.support.host import Host
from tests.support.wait import wait_until

LOW = "resqued@low.service"


@pytest.fixture
def running(host: Host) -> Host:
    """A host with an instance of two workers."""
    host.environment("COUNT=2\n", "low")
    host.drop_in(LOW, "[Service]\nRestartSec=0.1\n")
    host.systemctl("start", LOW)
    return host


def accounted(host: Host) -> set[int]:
    """Return the numbers of the jobs that have told, or have failed."""
    failed = {int(failure["payload"]["args"][0]) for failure in host.failures()}
    return failed | {int(number) for number, _ in host.told()}


def only_busy(host: Host) -> list[int]:
    """Return the busy worker if there is no other: one may be about to be idle."""
    titles = host.processes(LOW).items()
    busy = [pid for pid, title in titles if re.search(r"resque-\S+ Forked", title)]
    return busy if len(busy) == 1 else []


def test_reload_runs_new_code(running: Host) -> None:
    master = running.master(LOW)
    running.tell("low", 1)
    running.wait_told(1)
    running.release("two")
    running.systemctl("reload", LOW)
    # It has returned, so all have moved.
    running.tell("low", 2)
    running.wait_told(2)
    assert running.told() == [("1", "one"), ("2", "two")]
    assert running.master(LOW) == master
    assert running.state(LOW) == "active"
    running.wait_for_status(LOW, r"^2/2 workers, 0 busy, gen 2$")


def test_a_reload_of_broken_code_leaves_the_old_at_work(running: Host) -> None:
    master = running.master(LOW)
    running.release("two", "def broken(:\n")
    done = running.container.run("systemctl", "reload", LOW, check=False)
    assert done.returncode == 1
    status = running.wait_for_status(LOW, "reload to gen 2 failed")
    assert "site_jobs.py" in status
    running.wait_for_message(lambda message: "site_jobs.py" in message, "-p", "err")
    running.tell("low", 1)
    running.wait_told(1)
    assert running.told() == [("1", "one")]
    assert (running.master(LOW), running.state(LOW)) == (master, "active")
    running.release("three")
    running.systemctl("reload", LOW)
    running.wait_for_status(LOW, r"^2/2 workers, 0 busy, gen 3$")


def test_usr1_to_a_worker_drops_its_job_alone(running: Host) -> None:
    for number in (1, 2):
        running.tell("low", number, 600 if number == 1 else 0)
    running.wait_told(2)
    (busy,) = wait_until(lambda: only_busy(running), what="one busy worker")
    running.kill(busy, "USR1")
    wait_until(running.failures, what="the job to be recorded as failed")
    assert "SIGUSR1" in running.failures()[0]["error"]
    running.tell("low", 3)
    running.wait_told(3)
    assert running.state(LOW) == "active"


def test_usr1_to_the_master_drops_all_jobs(running: Host) -> None:
    master = running.master(LOW)
    for number in (1, 2):
        running.tell("low", number, 600)
    running.wait_started(2)
    running.systemctl("kill", "--signal=USR1", "--kill-who=main", LOW)
    wait_until(lambda: len(running.failures()) == 2, what="two failures")
    running.tell("low", 3)
    running.wait_told(3)
    assert running.master(LOW) == master


def test_a_killed_master_is_started_again_and_no_job_is_lost(running: Host) -> None:
    old = running.processes(LOW)
    master = running.master(LOW)
    for number in range(40):
        running.tell("low", number, 0.05)
    running.wait_started(4)
    running.kill(master, "KILL")
    running.wait_for(LOW, "NRestarts", "1")
    wait_until(
        lambda: accounted(running) == set(range(40)), what="every job", deadline=120
    )
    running.wait_for(LOW, "ActiveState", "active")
    assert running.master(LOW) not in (0, master)
    assert not old.keys() & running.processes(LOW).keys()
    assert running.registered() == ["low"] * 2
    # A job that had told when its worker was killed may have failed as well.
    assert len(running.failures()) <= 2


def test_the_watchdog_starts_a_frozen_master_again(host: Host) -> None:
    host.drop_in(LOW, "[Service]\nWatchdogSec=5\nTimeoutAbortSec=1\nRestartSec=0.1\n")
    host.systemctl("start", LOW)
    master = host.master(LOW)
    host.tell("low", 1, 600)
    host.wait_started()
    host.kill(master, "STOP")
    host.wait_for(LOW, "NRestarts", "1", deadline=120)
    host.wait_for(LOW, "ActiveState", "active")
    assert host.master(LOW) != master
    host.tell("low", 2)
    host.wait_told(2)
    assert accounted(host) == {1, 2}
    assert host.registered() == ["low"]


def test_the_watchdog_leaves_a_master_that_works_alone(host: Host) -> None:
    host.drop_in(LOW, "[Service]\nWatchdogSec=5\n")
    host.systemctl("start", LOW)
    # Nothing happens for twice that time but this one job.
    host.tell("low", 1, 11)
    host.wait_told(1)
    assert host.show(LOW, "NRestarts") == "0"


def test_jobs_know_nothing_of_systemds_variables(host: Host) -> None:
    host.drop_in(LOW, "[Service]\nWatchdogSec=60\n")
    host.systemctl("start", LOW)
    host.enqueue("low", "Environment")
    names = host.redis.blpop("environment", timeout=60)
    assert names is not None
    assert not re.search(rb'"(NOTIFY_SOCKET|WATCHDOG_\w+|LISTEN_\w+)"', names[1])
    assert b"REDIS_URL" in names[1]
    host.systemctl("stop", LOW)
    assert not [m for m in host.messages() if "Got notification message" in m]
