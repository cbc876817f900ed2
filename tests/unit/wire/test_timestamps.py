"""Times of Resque, resqued and node-resque as datetimes."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from resqued.wire import timestamps
from resqued.wire.timestamps import read

THEN = datetime(2026, 11, 27, 22, 58, 27, tzinfo=UTC)


@pytest.fixture
def vienna(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text",
    [
        "2026/11/27 22:58:27 UTC",
        "2026/11/27 22:58:27 GMT",
        "2026/11/27 23:58:27 CET",
        "2026/11/27 19:58:27 -03",
        "2026-11-27 22:58:27 +0000",
        "2026-11-27 17:58:27 -0500",
        "2026-11-27T22:58:27Z",
        "2026-11-27T23:58:27+01:00",
        "2026-11-27T22:58:27.123Z",
        "1795820307",
        "Fri Nov 27 2026 22:58:27 GMT+0000 (Coordinated Universal Time)",
        "Fri Nov 27 2026 23:58:27 GMT+0100",
    ],
)
def test_a_time_in_each_form(vienna: None, text: str) -> None:
    assert read(text) == THEN


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "0x1", "2026-11-27", "2026-11-27 22:58:27", "9" * 11, "9" * 400),
        *("2026/13/27 22:58:27 UTC", "2026/11/27 22:58:27 EST", "2026-11-27T22:58:27+"),
        "Fri Dez 27 2026 22:58:27 GMT+0000",
        "0001-01-01T00:00:00 CET",
    ],
)
def test_what_is_no_time(vienna: None, text: str) -> None:
    assert read(text) is None


def test_the_name_of_the_zone_decides_in_the_hour_that_comes_twice(
    vienna: None,
) -> None:
    first, second = read("2026/10/25 02:30:00 CEST"), read("2026/10/25 02:30:00 CET")
    assert first
    assert second
    assert (second - first).total_seconds() == 3600


@pytest.mark.parametrize(
    "write",
    [timestamps.failed_at, timestamps.started, timestamps.heartbeat, timestamps.run_at],
)
@pytest.mark.parametrize("now", [THEN.timestamp(), THEN.timestamp() - 180 * 86_400])
def test_what_we_write_is_read(vienna: None, write, now: float) -> None:
    found = read(write(now))
    assert found is not None
    assert found.timestamp() == now
