"""When the master notifies systemd: with a socket, and without systemd."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from resqued.systemd.notify import LATEST, SOONEST, Notifier
from resqued.systemd.service_status import PoolStatus
from tests.support.datagrams import drain, fill

UP = PoolStatus(generation=2, reloads=2, workers=4, wanted=4, busy=0)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def received(systemd: socket.socket) -> list[str]:
    """Return what was sent."""
    return [text.decode() for text in drain(systemd)]


def lines(systemd: socket.socket) -> list[str]:
    """Return the status lines that were sent."""
    return [line for line in received(systemd) if line.startswith("STATUS=")]


def test_a_status_that_comes_too_soon_is_not_held_back_for_long(
    systemd: socket.socket,
) -> None:
    notifier = Notifier(os.environ, os.getpid())
    notifier.turn(100.0, replace(UP, older=1))
    assert lines(systemd) == ["STATUS=4/4 workers, 0 busy, gen 2, 1 of an older gen"]
    assert notifier.due() == 100.0 + LATEST
    notifier.turn(100.5, UP)
    assert lines(systemd) == []
    assert notifier.due() == 100.0 + SOONEST
    notifier.turn(notifier.due(), UP)
    assert lines(systemd) == ["STATUS=4/4 workers, 0 busy, gen 2"]
    assert notifier.due() == 101.0 + LATEST


def test_a_full_socket_keeps_nobody_waiting_and_loses_no_change_of_the_stage(
    systemd: socket.socket,
) -> None:
    fill(os.environ["NOTIFY_SOCKET"])
    notifier = Notifier(os.environ, os.getpid())
    stopping = replace(UP, is_stopping=True)
    notifier.turn(100.0, UP)
    notifier.turn(101.0, stopping)
    assert set(received(systemd)) == {"full"}
    assert notifier.due() == 101.0 + SOONEST
    notifier.turn(notifier.due(), stopping)
    assert [text for text in received(systemd) if text.isupper()] == [
        *("READY=1", "STOPPING=1")
    ]
