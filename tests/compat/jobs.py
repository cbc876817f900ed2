"""The jobs of the wire cases, under the names that they have on the wire.

Run by `resqued work -a tests.compat.jobs`. A job that takes its time tells that it
has begun by a file, `started`, in the folder of the daemon, and ends when there is
a file `release`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import resqued
from tests.support.wait import wait_until


@resqued.job(queue="default")
class ByPath:
    """The one job that goes by its dotted path."""

    @staticmethod
    def perform(*args: Any) -> None:
        pass


@resqued.job(queue="default", name="Ok")
def Ok(*args: Any) -> None:
    """Do nothing."""


@resqued.job(queue="default", name="Boom")
def Boom(*args: Any) -> None:
    raise ValueError("bad thing")


@resqued.job(queue="default", name="Nested::Boom")
def NestedBoom(*args: Any) -> None:
    raise OutOfPaper


class OutOfPaper(Exception):
    """An exception with a home, and without a message."""


@resqued.job(queue="default", name="Long")
def Long() -> None:
    raise ValueError("x" * 1_000_000)


@resqued.job(queue="default", name="SysEx")
def SysEx(*status: Any) -> None:
    sys.exit(*status)


@resqued.job(queue="default", name="Die9")
def Die9() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@resqued.job(queue="default", name="DieN")
def DieN(status: int) -> None:
    os._exit(status)


@resqued.job(queue="default", name="Hold")
def Hold(*args: Any) -> None:
    """Take its time; ended by TERM."""
    _hold()


@resqued.job(queue="default", name="Rescue")
def Rescue() -> None:
    """Take its time; told to terminate it cleans up, and all is well."""
    try:
        _hold()
    except resqued.JobTerminated:
        Path("cleaned").touch()


@resqued.job(queue="default", name="Stubborn")
def Stubborn() -> None:
    """Take its time, whatever it is told."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _hold()


def _hold() -> None:
    Path("started").touch()
    wait_until(Path("release").exists, deadline=60)


@resqued.job(queue="default", name="LeaveBehind")
def LeaveBehind() -> None:
    """Start a process that nobody waits for."""
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path("left").write_text(str(left.pid))
