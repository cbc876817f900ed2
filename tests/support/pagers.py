"""Failure back ends of an application."""

from __future__ import annotations

import os
import time
from pathlib import Path

from resqued import Failure
from resqued.failure.backend import FailureBackend


class Pager(FailureBackend):
    """Writes a line for each failure to the file in PAGER_FILE."""

    def save(self, failure: Failure, delivery: str) -> None:
        with Path(os.environ["PAGER_FILE"]).open("a") as file:
            file.write(f"{delivery} {failure.queue} {failure.error}\n")


class Dying(FailureBackend):
    """Ends its process."""

    def save(self, failure: Failure, delivery: str) -> None:
        os._exit(3)


class Hanging(FailureBackend):
    """Never returns."""

    def save(self, failure: Failure, delivery: str) -> None:
        time.sleep(3600)
