"""Times of Resque, resqued and node-resque as datetimes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from resqued.wire import timestamps
from resqued.wire.timestamps import read

THEN = datetime(2026, 11, 27, 22, 58, 27, tzinfo=UTC)
# Four days before, in seconds since the epoch.
EARLIER = 1_795_433_916.0


@pytest.fixture(params=["UTC0", "EST5EDT,M3.2.0,M11.1.0", "CET-1CEST,M3.5.0,M10.5.0/3"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


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
        "2026/11/27 23:58:27",
    ],
)
def test_a_time_in_each_form(vienna: None, text: str) -> None:
    assert read(text) == THEN


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "0x1", "2026-11-27", "2026-11-27 22:58", "9" * 11, "9" * 400),
        *("2026/13/27 22:58:27 UTC", "2026/11/27 22:58:27 EST", "2026-11-27T22:58:27+"),
        "Fri Dez 27 2026 22:58:27 GMT+0000",
        "0001-01-01T00:00:00 CET",
        # In UTC these are before the year 1, and after 9999.
        *("0001-01-01T00:00:00+14:00", "9999/12/31 23:59:59 -1200"),
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
    [
        timestamps.failed_at,
        timestamps.retried_at,
        timestamps.started,
        timestamps.heartbeat,
        timestamps.run_at,
    ],
)
@pytest.mark.parametrize("now", [THEN.timestamp(), THEN.timestamp() - 180 * 86_400])
def test_what_we_write_is_read(vienna: None, write, now: float) -> None:
    found = read(write(now))
    assert found is not None
    assert found.timestamp() == now


@pytest.mark.parametrize("at", [EARLIER, EARLIER + 86_400 * 183])
@pytest.mark.usefixtures("zone")
def test_what_is_written_here_is_read_in_every_zone(at: float) -> None:
    found = read(timestamps.failed_at(at))
    assert found is not None
    assert found.timestamp() == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026/11/23 11:38:36 UTC", EARLIER),
        ("2026/11/23 12:38:36 +0100", EARLIER),
        ("2026/11/23 06:38:36 -05:00", EARLIER),
        ("Mon Nov 23 2026 11:38:36 GMT+0000 (Coordinated Universal Time)", EARLIER),
        ("Mon Nov 23 2026 12:38:36 GMT+0100", EARLIER),
        ("", None),
        ("yesterday", None),
        ("2026/13/23 11:38:36 UTC", None),
        ("2026/11/23 11:38:36 +9999", None),
        ("Mon Foo 23 2026 12:38:36 GMT+0100", None),
        ("Mon anF 23 2026 12:38:36 GMT+0100", None),
    ],
)
def test_times_of_every_program(text: str, at: float | None) -> None:
    found = read(text)
    assert (found and found.timestamp()) == at
