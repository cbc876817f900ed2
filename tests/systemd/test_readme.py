"""The README, typed by somebody who has a machine with systemd, Python and a Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.host import Host
from tests.support.readme import blocks, commands

UNIT = r"resqued@resize\x2cnightly.service"
# Needs a registry of packages, which the container has not: done with the wheel.
DONE = ("python3 -m venv /opt/resqued", "/opt/resqued/bin/pip install .")


@pytest.fixture
def typed(host: Host) -> Iterator[list[tuple[str, str]]]:
    """Type everything below "As a service", in order; answer what was printed."""
    application = next(b for b in blocks("Ten minutes") if b.language == "python")
    host.container.write("/srv/photos/photos.py", application.text)
    printed = []
    for block in blocks("As a service"):
        if block.language == "toml":
            host.container.write("/etc/resqued/resqued.toml", block.text)
            continue
        for command in commands(block):
            if command in DONE:
                continue
            if command.startswith("resqued status"):
                host.wait_for_message(
                    lambda message: message.startswith("job_performed"), "-u", UNIT
                )
            printed.append((command, host.container.run("sh", "-c", command).stdout))
    yield printed
    # Others look at what an installation leaves.
    host.container.run("rm", "-f", "/usr/local/bin/resqued")


def test_as_a_service(host: Host, typed: list[tuple[str, str]]) -> None:
    told = dict(typed)
    assert len(told) == len(typed) == 10

    def words(command: str) -> str:
        return next(out for line, out in typed if line.startswith(command))

    assert "unchanged" in words("resqued service install")
    status = words("systemctl status")
    assert "active (running)" in status
    assert 'Status: "1/1 workers, 0 busy, gen 1"' in status
    assert "master" in words("resqued status")
    for command in ("journalctl", "resqued logs"):
        assert "beach.jpg is 640 pixels wide now" in words(command)
        assert "job_performed" in words(command)
    assert host.journal("-u", UNIT, "RESQUED_EVENT=reload_done")
    assert host.state(UNIT) == "inactive"
    assert host.registered() == []
    assert host.failures() == []
