"""A pool that the tests of a module look at one after the other.

To start one for each test takes longer than most of them do. Each test finds it as if
it had just been started: two idle workers, no jobs, no failures, and nothing logged.
It has a server of its own, for the session's is emptied for each test. A test that
ends the master, or moves it to another generation, starts its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Self

import redis as redis_py

from resqued.system.redis_server import EmbeddedServer
from tests.support.asking import ask
from tests.support.daemon import Daemon
from tests.support.pool import pool
from tests.support.wait import wait_until

WORKERS = 2
# What tests, their jobs and their runs leave.
_LEFT = (
    *("started", "runs", "family"),
    *(f"resque:{name}" for name in ("failed", "stat:processed", "stat:failed")),
    *("resque:queue:default", "resque:queues"),
)


class SharedPool:
    """Enter it to have the server; the pool is started with the first test."""

    def __init__(self, place: Path, config: str = "") -> None:
        self._place = place
        self._config = config
        self._stack = ExitStack()
        self._daemon: Daemon | None = None

    def __enter__(self) -> Self:
        server = EmbeddedServer.start(self._place / "server")
        self.url = self._stack.enter_context(server).url
        self._redis = self._stack.enter_context(redis_py.Redis.from_url(self.url))
        return self

    def __exit__(self, *error: object) -> None:
        with self._stack:
            if self._daemon is not None:
                self._settle(self._daemon)

    def daemon(self) -> Daemon:
        """Return the pool as a test wants to find it."""
        if self._daemon is None:
            started = pool(self.url, self._place, workers=WORKERS, config=self._config)
            self._daemon = self._stack.enter_context(started)
            started.wait_for_event("master_ready")
        self._settle(self._daemon)
        return self._daemon

    def _settle(self, daemon: Daemon) -> None:
        """Undo what tests may do to a pool."""
        self._redis.delete("resque:queue:default", "resque:pause-all-workers")
        ask(daemon, do="resume")
        ask(daemon, do="scale", workers=WORKERS)
        wait_until(lambda: self._is_idle(daemon), what="two idle workers", deadline=60)
        self._redis.delete(*_LEFT)
        daemon.forget_events()

    def _is_idle(self, daemon: Daemon) -> bool:
        ask(daemon, do="kill", older=0)
        workers = ask(daemon, do="status")["workers"]
        known = {worker["id"].encode() for worker in workers}
        return [worker["phase"] for worker in workers] == [
            "waiting"
        ] * WORKERS and self._redis.smembers("resque:workers") == known
