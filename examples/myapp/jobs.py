"""The jobs that workers run. The zygote imports this module before it forks workers.

The module opens no connection at import: a process must not share it with others.
"""

from __future__ import annotations

import tarfile
import time
from pathlib import Path

import resqued


@resqued.job(queue="file_serve")
def archive(folder: str, target: str) -> None:
    """Pack a folder into an archive, then enqueue a notification."""
    unfinished = Path(f"{target}.part")
    try:
        with tarfile.open(unfinished, "w:gz") as tar:
            tar.add(folder, arcname=Path(folder).name)
        unfinished.rename(target)
    finally:
        # Also runs when the job is ended: JobTerminated is raised in the try block.
        unfinished.unlink(missing_ok=True)
    resqued.enqueue(Notify, "ops@example.org", f"{target} is ready")


class Notify:
    """A job as a class with `perform`, as in Ruby Resque."""

    queue = "critical"

    @staticmethod
    def perform(address: str, text: str) -> None:
        """Print the message that a real job would mail."""
        print(f"to {address}: {text}")


@resqued.job(queue="low", name="Count")
def count(seconds: int) -> None:
    """Count the seconds. Ruby can enqueue this job too, by its name Count."""
    for second in range(seconds):
        print(f"{second + 1} of {seconds}")
        time.sleep(1)
