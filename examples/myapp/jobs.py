"""The jobs: what workers run, imported once before they are forked.

Nothing is opened here that a process should have of its own.
"""

from __future__ import annotations

import tarfile
import time
from pathlib import Path

import resqued


@resqued.job(queue="file_serve")
def archive(folder: str, target: str) -> None:
    """Pack a folder into target, then say so."""
    unfinished = Path(f"{target}.part")
    try:
        with tarfile.open(unfinished, "w:gz") as tar:
            tar.add(folder, arcname=Path(folder).name)
        unfinished.rename(target)
    finally:
        # Also when the job is told to terminate: JobTerminated passes here.
        unfinished.unlink(missing_ok=True)
    resqued.enqueue(Notify, "ops@example.org", f"{target} is ready")


class Notify:
    """A job in the form that Resque has always had: a class with perform."""

    queue = "critical"

    @staticmethod
    def perform(address: str, text: str) -> None:
        """Would send a mail."""
        print(f"to {address}: {text}")


@resqued.job(queue="low", name="Count")
def count(seconds: int) -> None:
    """Take its time, under a name that Ruby could enqueue as well."""
    for second in range(seconds):
        print(f"{second + 1} of {seconds}")
        time.sleep(1)
