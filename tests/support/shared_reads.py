"""The threads of the web front end that keep values up, for a test in its process."""

from __future__ import annotations

import threading

from resqued.web import shared_read
from tests.support.wait import scaled


def end_readers() -> None:
    """End the threads that keep values up, which run for a while on a busy machine.

    Else they would send commands while a later test counts those of the server.
    """
    unseen, shared_read.UNSEEN = shared_read.UNSEEN, 0.0
    try:
        for thread in threading.enumerate():
            if thread.name == shared_read.THREAD:
                thread.join(scaled(20))
    finally:
        shared_read.UNSEEN = unseen
