"""The units as systemd sees them, and what a job may do under them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.host import RESQUED, UNITS, Host
from tests.support.wait import wait_until

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
# From capabilities(7).
CAP_SYS_RESOURCE = 24
SERVICES = ("resqued.service", "resqued@low.service")


def test_systemd_has_no_remark_on_any_unit(host: Host) -> None:
    done = host.container.run(
        *("systemd-analyze", "verify", "--recursive-errors=no"),
        *(*SERVICES, "resqued.slice", "resqued.target"),
    )
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure_is_low(host: Host, unit: str) -> None:
    text = host.container.run("systemd-analyze", "security", unit, "--no-pager").stdout
    found = re.search(r"exposure level for \S+: ([\d.]+)", text)
    assert found is not None
    assert float(found[1]) < 4.0


def test_an_ordinary_job_is_not_kept_from_anything(host: Host) -> None:
    host.systemctl("start", "resqued@low")
    host.enqueue("low", "Ordinary", "note")
    assert host.redis.blpop("ordinary", timeout=60), host.failures()
    assert host.container.read("/var/lib/resqued/note") == "written"
    # The unit's own /tmp.
    assert not host.container.exists("/tmp/note")


def test_the_drop_in_for_sudo_lets_a_job_gain_rights(host: Host) -> None:
    found = re.search(r"```ini\n(.*?)```", OPERATIONS.read_text("utf-8"), re.DOTALL)
    assert found is not None
    host.drop_in("resqued@.service", found[1])
    # A copy of id(1) that says who it runs as.
    host.container.run("install", "-m", "4755", "/usr/bin/id", "/usr/local/bin/id-suid")
    try:
        host.systemctl("start", "resqued@low")
        host.enqueue("low", "Output", "/usr/local/bin/id-suid")
        said = host.redis.blpop("output", timeout=60)
    finally:
        host.container.run("rm", "/usr/local/bin/id-suid")
    assert said is not None, host.failures()
    assert b"euid=0(root)" in said[1]


@pytest.mark.parametrize("path", ["/usr/x", "/etc/x", "/etc/resqued/resqued.toml"])
def test_a_job_does_not_change_the_system(host: Host, path: str) -> None:
    host.systemctl("start", "resqued@low")
    host.enqueue("low", "Forbidden", path)
    wait_until(host.failures, what="the job to fail")
    assert host.failures()[0]["exception"] in ("OSError", "PermissionError")


def test_files_are_nobody_elses_business(host: Host) -> None:
    host.systemctl("start", "resqued@low")
    host.container.run("systemd-tmpfiles", "--create", "resqued.conf")
    stat = host.container.run(
        *("stat", "-c", "%a %U %G", "/etc/resqued", "/etc/resqued/resqued.toml"),
        *("/run/resqued", "/run/resqued/resqued", "/var/lib/resqued"),
        "/var/log/resqued",
    ).stdout
    assert stat.splitlines() == [
        "750 root resqued",
        "640 root resqued",
        "755 root root",
        "755 resqued resqued",
        "750 resqued resqued",
        "750 resqued resqued",
    ]


def test_the_journal_can_be_asked_by_field(host: Host) -> None:
    host.systemctl("start", "resqued@low")
    host.tell("low", 1)
    host.enqueue("low", "Complain", "a bad\nthing")
    wait_until(host.failures, what="the job to fail")
    records = wait_until(lambda: host.journal("RESQUED_CLASS=Complain"))
    assert {record["RESQUED_EVENT"] for record in records} == {"job_failed"}
    assert records[0]["RESQUED_QUEUE"] == "low"
    assert records[0]["_SYSTEMD_UNIT"] == "resqued@low.service"
    told = wait_until(lambda: host.journal("RESQUED_EVENT=job_performed"))
    assert [record["RESQUED_CLASS"] for record in told] == ["Tell"]


def test_errors_stand_in_the_journal_as_errors(host: Host) -> None:
    host.release("two", "def broken(:\n")
    host.systemctl("start", "resqued@low", check=False)
    host.wait_for("resqued@low", "ActiveState", "failed")
    own = "SYSLOG_IDENTIFIER=resqued"
    assert wait_until(lambda: host.messages("-p", "err", own))


def test_the_master_is_the_last_to_be_killed_for_want_of_memory(host: Host) -> None:
    capabilities = re.search(r"CapEff:\s*(\w+)", host.container.read("/proc/1/status"))
    assert capabilities is not None
    if not int(capabilities[1], 16) >> CAP_SYS_RESOURCE & 1:
        pytest.skip("nobody on this machine may protect a process: CAP_SYS_RESOURCE")
    host.systemctl("start", "resqued@low")
    scores = {
        pid: host.container.read(f"/proc/{pid}/oom_score_adj").strip()
        for pid in host.processes("resqued@low")
    }
    assert scores.pop(host.master("resqued@low")) == "-100"
    assert set(scores.values()) == {"0"}


def test_doctor_has_nothing_against_the_units(host: Host) -> None:
    host.systemctl("start", "resqued@low")
    done = host.container.run(RESQUED, "doctor", "--no-import", "--json", check=False)
    checks = [each for each in json.loads(done.stdout) if "unit" in json.dumps(each)]
    assert not [each for each in checks if each.get("state") == "problem"]


def test_users_have_units_of_their_own(host: Host) -> None:
    """As far as this can be told without a user who is logged in."""
    run = host.container.run
    home = "/var/lib/resqued/home"
    own = ("env", f"HOME={home}", f"XDG_RUNTIME_DIR={home}/run")
    as_user = ("setpriv", "--reuid=resqued", "--regid=resqued", "--clear-groups")
    run("install", "-d", "-o", "resqued", "-g", "resqued", home, f"{home}/run")
    run(*as_user, *own, RESQUED, "service", "install", "--user", "--instance", "a,b")
    units = f"{home}/.config/systemd/user"
    assert host.container.exists(
        f"{units}/default.target.wants/resqued@a\\x2cb.service"
    )
    done = run(
        *(*as_user, *own, "systemd-analyze", "--user", "verify", "--man=no"),
        *(f"{units}/resqued.service", f"{units}/resqued@x.service"),
        f"{units}/resqued.target",
    )
    assert done.stdout + done.stderr == ""
    assert (
        UNITS not in run(*as_user, *own, RESQUED, "service", "status", "--user").stdout
    )
