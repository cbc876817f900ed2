"""The time of a failure is read as each program writes it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from resqued.wire import timestamps

THEN = 1_795_433_916.0


@pytest.fixture(params=["UTC0", "EST5EDT,M3.2.0,M11.1.0", "CET-1CEST,M3.5.0,M10.5.0/3"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize("at", [THEN, THEN + 86_400 * 183])
@pytest.mark.usefixtures("zone")
def test_what_is_written_here_is_read_in_every_zone(at: float) -> None:
    found = timestamps.read(timestamps.failed_at(at))
    assert found is not None
    assert found.timestamp() == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026/11/23 11:38:36 UTC", THEN),
        ("2026/11/23 12:38:36 +0100", THEN),
        ("2026/11/23 06:38:36 -05:00", THEN),
        ("Mon Nov 23 2026 11:38:36 GMT+0000 (Coordinated Universal Time)", THEN),
        ("Mon Nov 23 2026 12:38:36 GMT+0100", THEN),
        ("", None),
        ("yesterday", None),
        ("2026/13/23 11:38:36 UTC", None),
        ("2026/11/23 11:38:36 +9999", None),
        ("Mon Foo 23 2026 12:38:36 GMT+0100", None),
        ("Mon anF 23 2026 12:38:36 GMT+0100", None),
    ],
)
def test_times_of_every_program(text: str, at: float | None) -> None:
    found = timestamps.read(text)
    assert (found and found.timestamp()) == at
