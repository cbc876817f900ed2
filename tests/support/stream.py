"""Jobs that an application enqueues all the while, whatever happens to Redis.

Each has a number. The library says of most that Redis has them; of one whose reply was
lost it raises StoreError, and the job may be on the queue or not.
"""

from __future__ import annotations

from threading import Event, Thread
from typing import Self

import resqued
from resqued.errors import StoreError

# In seconds between two jobs: a busy machine runs fewer than it could enqueue.
PAUSE = 0.1


class Stream:
    """Enter it to start; on leaving, the thread ends and the counts are final."""

    def __init__(self, url: str, first: int, namespace: str = "resque") -> None:
        self._client = resqued.Client(url, namespace=namespace, timeout=2.0)
        self._number = first
        self._is_over = Event()
        self._thread = Thread(target=self._run)
        self.confirmed: list[int] = []
        self.unsure: list[int] = []
        self.errors: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._is_over.wait(PAUSE):
            try:
                self._client.enqueue_to("default", "Run", self._number)
                self.confirmed.append(self._number)
            except StoreError:
                self.unsure.append(self._number)
            except BaseException as error:
                self.errors.append(error)
                return
            self._number += 1
