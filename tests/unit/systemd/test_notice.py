"""What is told of a master: the line for people, and the stages for systemd."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from resqued.systemd.service_status import PoolStatus, ServiceState, changes, describe

UP = PoolStatus(generation=2, reloads=2, workers=4, wanted=4, busy=0)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({}, "4/4 workers, 0 busy, gen 2"),
        (
            {"busy": 3, "oldest": 192.4},
            "4/4 workers, 3 busy, oldest job 3m12s, gen 2",
        ),
        (
            {"workers": 1, "is_ready": False},
            "starting, 1/4 workers, 0 busy, gen 2",
        ),
        (
            {"is_paused": True, "older": 1},
            "4/4 workers, 0 busy, paused, gen 2, 1 of an older gen",
        ),
        (
            {"is_reloading": True},
            "4/4 workers, 0 busy, reloading, gen 2",
        ),
        (
            {"reloads": 3, "error": "x: \n  no syntax"},
            "4/4 workers, 0 busy, gen 2; reload to gen 3 failed: x: no syntax",
        ),
        ({"is_stopping": True}, "stopping, 0 jobs still run"),
        (
            {"is_stopping": True, "busy": 1, "oldest": 20.0},
            "stopping, 1 job still runs, oldest job 20s",
        ),
    ],
)
def test_the_line_for_people(values: dict[str, Any], line: str) -> None:
    assert describe(replace(UP, **values)) == line


STARTING = replace(UP, is_ready=False)
RELOADING = replace(UP, is_reloading=True, reloads=3)
STOPPING = replace(UP, is_stopping=True)
AFTER = replace(UP, reloads=3, generation=3)


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (None, STARTING, []),
        (STARTING, STARTING, []),
        (STARTING, UP, [ServiceState.READY]),
        # Replaced in place: the new program says anew that it is there.
        (None, UP, [ServiceState.READY]),
        (UP, UP, []),
        (UP, RELOADING, [ServiceState.RELOADING]),
        (RELOADING, RELOADING, []),
        (RELOADING, AFTER, [ServiceState.READY]),
        # Refused at once: who has asked for it waits for both words.
        (UP, AFTER, [ServiceState.RELOADING, ServiceState.READY]),
        (RELOADING, replace(RELOADING, reloads=4), []),
        (UP, STOPPING, [ServiceState.STOPPING]),
        (STARTING, STOPPING, [ServiceState.STOPPING]),
        (RELOADING, STOPPING, [ServiceState.STOPPING]),
        (STOPPING, STOPPING, []),
    ],
)
def test_what_has_changed(
    before: PoolStatus | None, now: PoolStatus, told: list[ServiceState]
) -> None:
    assert changes(before, now) == told
