"""Waiting for something to come true: the only sleep in the suite."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# For machines that are slow, or busy with other things: every deadline of the suite is
# multiplied by it. Tests that run beside each other keep the machine busy themselves.
_USUAL_FACTOR = "3" if "PYTEST_XDIST_WORKER" in os.environ else "1"
DEADLINE_FACTOR = float(os.environ.get("RESQUED_TEST_DEADLINE_FACTOR") or _USUAL_FACTOR)

_FIRST_PAUSE = 0.002
_LONGEST_PAUSE = 0.05


def scaled(seconds: float) -> float:
    """Return a deadline as it is on this machine."""
    return seconds * DEADLINE_FACTOR


def wait_until(
    condition: Callable[[], T | None],
    *,
    deadline: float = 30.0,
    what: str = "the condition",
) -> T:
    """Return the condition's first truthy value; fail after *deadline* seconds."""
    last = time.monotonic() + scaled(deadline)
    pause = _FIRST_PAUSE
    while not (value := condition()):
        left = last - time.monotonic()
        if left <= 0:
            raise AssertionError(
                f"waited {scaled(deadline):g} s for {what}; last value: {value!r}"
            )
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)
    return value


def wait_while_moving(
    progress: Callable[[], object],
    condition: Callable[[], T | None],
    *,
    deadline: float = 30.0,
    what: str = "the condition",
) -> T:
    """Return the condition's first truthy value; fail if `progress` stands still.

    For work whose length depends on the machine: the deadline, in seconds, begins again
    with each change of what `progress` returns.
    """
    seen, pause = progress(), _FIRST_PAUSE
    last = time.monotonic() + scaled(deadline)
    while not (value := condition()):
        if (now := progress()) != seen:
            seen, last = now, time.monotonic() + scaled(deadline)
        if time.monotonic() > last:
            raise AssertionError(
                f"{scaled(deadline):g} s without progress on {what}; it is at {seen!r}"
            )
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return value
