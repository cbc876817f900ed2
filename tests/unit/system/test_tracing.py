"""A child that asks to be traced: it continues, and its end is that of any child."""

from __future__ import annotations

import ctypes
import os
import signal
import time

from resqued.system import process
from tests.support.forking import run_in_child
from tests.support.wait import scaled

TRACEME = 0


def traced() -> None:
    """Stop for a signal and for execve(2), as a traced process does."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    ctypes.CDLL(None).ptrace(TRACEME, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGUSR1)
    ctypes.CDLL(None).ptrace(TRACEME, 0, 0, 0)
    os.execv("/bin/sh", ["sh", "-c", "exit 7"])


def reap_it() -> None:
    pid = os.fork()
    if pid == 0:
        traced()
    ended: list[tuple[process.Pid, object]] = []
    give_up_at = time.monotonic() + scaled(30)
    while not ended and time.monotonic() < give_up_at:
        ended += process.reap()
        time.sleep(0.001)
    assert [(found, how.code) for found, how in ended] == [(pid, 7)]  # type: ignore[attr-defined]


def test_a_child_that_is_traced_is_let_go_on() -> None:
    run_in_child(reap_it)
