"""`resqued service` as root, on a host with systemd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from resqued.systemd import instance as naming
from tests.support.host import RESQUED, UNITS, Host

UNIT = f"{UNITS}/resqued.service"
CRITICAL = r"resqued@critical\x2chigh.service"


@pytest.fixture
def service(host: Host) -> Iterator[Host]:
    """A host on which resqued is installed in the end as in the beginning."""
    yield host
    host.systemctl("stop", "resqued*.service", check=False)
    host.container.run("rm", "-f", UNIT)
    host.container.run(RESQUED, "service", "install")


def run(host: Host, *words: str) -> list[list[str]]:
    """Run a command, and return what it did to what."""
    lines = host.container.run(RESQUED, "service", *words).stdout.splitlines()
    return [line.split(None, 1) for line in lines]


def state(host: Host) -> dict[str, Any]:
    text = host.container.run(RESQUED, "service", "status", "--json").stdout
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_second_install_changes_nothing(service: Host) -> None:
    run(service, "install")
    before = service.container.run("stat", "-c", "%Y %i %s", UNIT).stdout
    done = {path: what for what, path in run(service, "install")}
    assert done.pop("/etc/resqued/resqued.toml") == "kept"
    assert set(done.values()) == {"unchanged"}
    assert service.container.run("stat", "-c", "%Y %i %s", UNIT).stdout == before


def test_an_edited_unit_is_kept_and_the_configuration_always(service: Host) -> None:
    service.container.run("sh", "-c", f"echo '# mine' >> {UNIT}")
    done = {path: what for what, path in run(service, "install")}
    assert [path for path, what in done.items() if what == "kept"] == [
        f"{UNIT}: somebody has changed it; remove it to have it installed again",
        "/etc/resqued/resqued.toml",
    ]
    assert service.container.read(UNIT).endswith("# mine\n")
    assert state(service)["files"][UNIT] == "changed"


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        # To systemctl, which escapes what it must.
        ("critical,high", "critical,high"),
        ("low-priority", "low-priority"),
        (".x", ".x"),
        # It would take these for a pattern, and for another name.
        ("mail*", r"mail\x2a"),
        ("a/b", r"a\x2fb"),
    ],
)
def test_an_instance_is_the_unit_that_systemctl_makes_of_it(
    service: Host, name: str, typed: str
) -> None:
    run(service, "install", "--instance", name)
    assert service.systemctl("is-enabled", f"resqued@{typed}") == "enabled\n"
    unit = naming.unit(name)
    assert {"name": unit, "is_enabled": True, "state": "inactive (dead)"} in state(
        service
    )["units"]
    run(service, "uninstall", "--instance", name)
    assert state(service)["units"] == []


def test_systemctl_takes_a_queue_list_as_one_types_it(service: Host) -> None:
    service.systemctl("enable", "--now", "resqued@critical,high")
    assert service.state(CRITICAL) == "active"
    assert service.registered() == ["critical,high"]


def test_uninstall_leaves_what_runs_and_what_is_somebodys(service: Host) -> None:
    run(service, "install", "--instance", "critical,high")
    service.systemctl("start", CRITICAL)
    done = service.container.run(RESQUED, "service", "uninstall", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"resqued: {CRITICAL} runs: stop it first")
    service.systemctl("stop", CRITICAL)
    service.container.run("sh", "-c", f"echo '# mine' >> {UNIT}")
    done_to = {path: what for what, path in run(service, "uninstall")}
    assert done_to[CRITICAL] == "disabled"
    assert [path for path, what in done_to.items() if what == "kept"] == [
        "/etc/resqued/resqued.toml: somebody has changed it",
        f"{UNIT}: somebody has changed it",
    ]
    found = service.container.run(
        *("find", "/usr/local", "/etc", "(", "-type", "f", "-o", "-type", "l", ")"),
        *("-name", "*resqued*", "!", "-name", "resqued-test*"),
        *("!", "-path", "/etc/default/*"),
    ).stdout
    assert sorted(found.split()) == ["/etc/resqued/resqued.toml", UNIT]


def test_a_program_that_the_user_cannot_reach_is_told_of(service: Host) -> None:
    assert service.container.run(RESQUED, "service", "status").stderr == ""
    service.container.run("chmod", "o-x", "/opt/resqued")
    try:
        told = service.container.run(RESQUED, "service", "install").stderr
    finally:
        service.container.run("chmod", "o+x", "/opt/resqued")
    assert told.startswith("resqued: /opt/resqued is closed to the user resqued")


def test_the_user_and_the_pages_are_there(service: Host) -> None:
    container = service.container
    assert "/var/lib/resqued" in container.run("getent", "passwd", "resqued").stdout
    assert container.exists("/usr/local/share/man/man8/resqued.8")
    container.run("bash", "-n", "/usr/local/share/bash-completion/completions/resqued")
    assert f"ExecStart={RESQUED} work\n" in container.read(UNIT)
