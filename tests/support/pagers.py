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


class Picky(FailureBackend):
    """Ends its process at the failure of job 0; notes the numbers of the others.

    PAGER_ENDS_BY says how it ends: by `os._exit`, or by an exception that is no
    Exception and has no text.
    """

    def save(self, failure: Failure, delivery: str) -> None:
        number = failure.args[0]
        if number == 0:
            if os.environ["PAGER_ENDS_BY"] == "exit":
                os._exit(3)
            raise _Silent
        with Path(os.environ["PAGER_FILE"]).open("a") as file:
            file.write(f"{number}\n")


class _Silent(SystemExit):
    def __str__(self) -> str:
        raise LookupError
