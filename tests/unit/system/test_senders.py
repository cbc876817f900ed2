"""How the sender of a signal is named in the log."""

from __future__ import annotations

import os
import signal

import pytest

from resqued.system import process


@pytest.mark.parametrize(
    ("signum", "name"),
    [
        (signal.SIGINT, "the terminal"),
        (signal.SIGQUIT, "the terminal"),
        (signal.SIGTERM, "the kernel"),
        (0, "the kernel"),
    ],
)
def test_pid_0_is_the_terminal_for_the_keys_of_one(signum: int, name: str) -> None:
    assert process.describe(0, 0, signum) == name


def test_a_process_has_its_pid_and_name() -> None:
    assert process.describe(os.getpid(), 7).startswith(f"{os.getpid()} (")
