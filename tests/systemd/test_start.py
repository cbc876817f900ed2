"""Starting and stopping instances by systemd: what runs, and on which queues."""

from __future__ import annotations

import pytest

from tests.support.host import Host
from tests.support.wait import wait_until

BOTH = r"resqued@critical\x2chigh.service"


def test_start_returns_when_every_worker_is_registered(host: Host) -> None:
    host.environment("COUNT=4\n", "critical,high")
    host.systemctl("start", BOTH)
    assert host.state(BOTH) == "active"
    assert host.registered() == ["critical,high"] * 4
    assert host.wait_for_status(BOTH, "^4/4 workers, 0 busy") in host.systemctl(
        "status", BOTH
    )
    assert host.show(BOTH, "User") == "resqued"
    assert host.show(BOTH, "Slice") == "resqued.slice"
    assert host.master(BOTH) in host.processes(BOTH)


def test_the_queues_of_an_instance_are_in_order(host: Host) -> None:
    for number in range(3):
        host.tell("high", f"high-{number}")
    for number in range(3):
        host.tell("critical", f"critical-{number}")
    host.systemctl("start", BOTH)
    names = [f"{queue}-{n}" for queue in ("critical", "high") for n in range(3)]
    host.wait_told(*names)
    assert [number for number, _ in host.told()] == names


def test_the_status_says_how_many_are_busy(host: Host) -> None:
    host.environment("COUNT=2\n", "low")
    host.systemctl("start", "resqued@low")
    host.tell("low", 1, 600)
    host.wait_for_status("resqued@low", "^2/2 workers, 1 busy")


@pytest.mark.parametrize("name", ["low-priority", r"low\x2dpriority"])
def test_a_dash_stands_for_itself(host: Host, name: str) -> None:
    host.systemctl("start", f"resqued@{name}")
    assert host.registered() == ["low-priority"]
    host.tell("low-priority", 1)
    host.wait_told(1)


def test_all_stands_for_every_queue(host: Host) -> None:
    host.tell("anything", 1)
    host.systemctl("start", "resqued@all")
    assert host.registered() == ["*"]
    host.wait_told(1)


def test_the_file_of_an_instance_holds_for_it_alone(host: Host) -> None:
    host.configure(name="mail", pools={"mail": 1, "news": 2})
    host.configure(name="critical,high", text='[worker]\nhostname = "elsewhere"\n')
    host.systemctl("start", "resqued@mail", BOTH)
    assert host.registered() == ["critical,high", "mail", "news", "news"]
    hosts = {each.split(b":")[0] for each in host.redis.smembers("resque:workers")}
    assert len(hosts) == 2
    assert b"elsewhere" in hosts


def test_several_instances_run_at_once_and_the_target_stops_all(host: Host) -> None:
    host.configure(pools={"main": 1})
    units = ["resqued.service", "resqued@low.service", BOTH]
    host.systemctl("enable", *units)
    host.systemctl("start", "resqued.target")
    for unit in units:
        host.wait_for(unit, "ActiveState", "active")
    assert host.registered() == ["critical,high", "low", "main"]
    told = host.container.run("/opt/resqued/bin/resqued", "status").stdout
    for unit in units:
        assert f"master {host.master(unit)} running" in told
    host.systemctl("stop", "resqued@low.service")
    # Its socket has gone, the others' have not.
    assert (
        "critical,high: 1"
        in host.container.run("/opt/resqued/bin/resqued", "status").stdout
    )
    host.systemctl("stop", "resqued.target")
    for unit in units:
        host.wait_for(unit, "ActiveState", "inactive")
    assert host.registered() == []


def test_the_target_stops_what_it_did_not_start(host: Host) -> None:
    host.systemctl("start", "resqued@low")
    host.systemctl("stop", "resqued.target")
    host.wait_for("resqued@low", "ActiveState", "inactive")


def test_stop_lets_a_job_finish_beyond_the_time_out(host: Host) -> None:
    host.drop_in("resqued@low.service", "[Service]\nTimeoutStopSec=5\n")
    host.systemctl("start", "resqued@low")
    host.tell("low", 1, 20)
    host.wait_started()
    host.systemctl("stop", "resqued@low")
    assert [number for number, _ in host.told()] == ["1"]
    assert host.failures() == []
    assert host.state("resqued@low") == "inactive"
    assert host.show("resqued@low", "Result") == "success"
    assert host.registered() == []


def test_while_it_stops_the_status_says_what_it_waits_for(host: Host) -> None:
    host.systemctl("start", "resqued@low")
    host.tell("low", 1, 600)
    host.wait_started()
    host.systemctl("stop", "--no-block", "resqued@low")
    host.wait_for_status("resqued@low", "^stopping, 1 job still runs")
    master = host.master("resqued@low")
    host.kill(master, "TERM")
    host.wait_for("resqued@low", "ActiveState", "inactive")
    assert len(host.failures()) == 1


def test_a_wrong_configuration_is_told_once_and_not_tried_again(host: Host) -> None:
    host.configure('[worker]\ninterval = "soon"\n', pools={"main": 1})
    host.systemctl("start", "resqued", check=False)
    host.wait_for("resqued", "ActiveState", "failed")
    assert host.show("resqued", "ExecMainStatus") == "78"
    assert host.show("resqued", "NRestarts") == "0"
    # Not while it is being read, either: systemd would have to have given up.
    assert host.show("resqued", "SubState") == "failed"
    said = wait_until(lambda: host.messages("SYSLOG_IDENTIFIER=resqued"))
    assert len(said) == 1
    assert "interval" in said[0]
    assert "soon" in said[0]


def test_a_redis_that_is_away_at_the_start_is_tried_again(host: Host) -> None:
    host.drop_in("resqued@low.service", "[Service]\nRestartSec=0.1\n")
    host.environment("REDIS_URL=redis://127.0.0.1:1/0\n", "low")
    host.systemctl("start", "resqued@low", check=False)
    wait_until(lambda: int(host.show("resqued@low", "NRestarts")) > 5, deadline=120)
    host.environment("", "low")
    host.wait_for("resqued@low", "ActiveState", "active")
