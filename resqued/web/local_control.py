"""The masters of this host that serve this namespace, through their control sockets.

An addition to Redis: they know the limits, processes and memory of their jobs, and can
end one. Other users' masters, and those of other hosts, are not here.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

from msgspec import Struct

from resqued.config.web_settings import WebSettings
from resqued.control import requests
from resqued.diagnostics.local_masters import Master
from resqued.diagnostics.pool_view import PoolView
from resqued.diagnostics.redis_target import RedisTarget
from resqued.diagnostics.worker_usage import (
    Samples,
    WorkerUsage,
    take_samples,
    usage_of,
)
from resqued.store.server_url import redact
from resqued.web.shared_read import Breaker, SharedRead

# Seconds that a master may take to answer.
_PATIENCE = 1.0


class LocalWorker(Struct, frozen=True):
    """A worker of a master of this host, with what its job uses."""

    master: Master
    usage: WorkerUsage

    @property
    def child(self) -> int | None:
        """The process that runs its job; None without a job."""
        return self.usage.worker.child


class LocalWorkers:
    """The workers of the masters of this host; asks each master once a second."""

    def __init__(self, settings: WebSettings) -> None:
        self._control = settings.control
        self._namespace = settings.namespace
        self._target = RedisTarget(redact(settings.url), settings.namespace)
        self._samples: Samples = {}
        self._shared = SharedRead(self._read, Breaker())

    def get(self) -> Mapping[str, LocalWorker]:
        """Return the workers by id; none where no master answers this user."""
        return self._shared.get().value

    def forget(self) -> None:
        """Let the next look ask the masters again."""
        self._shared.forget()

    def _read(self) -> Mapping[str, LocalWorker]:
        found = requests.masters(requests.places(self._control, os.environ))
        answers = requests.fetch_statuses(found, usage=True, patience=_PATIENCE)
        pools = [
            (Master(a), PoolView.of(r)) for a, r in zip(found, answers, strict=True)
        ]
        return self._workers([pair for pair in pools if self._is_meant(pair[1])])

    def _is_meant(self, pool: PoolView) -> bool:
        return not pool.error and self._target.is_among(pool.redis, pool.namespaces)

    def _workers(
        self, pools: Sequence[tuple[Master, PoolView]]
    ) -> Mapping[str, LocalWorker]:
        before, now = self._samples, time.monotonic()
        self._samples = take_samples([pool for _, pool in pools], now)
        return {
            usage.worker.id: LocalWorker(master, usage)
            for master, pool in pools
            for usage in usage_of(pool.workers, before, now)
            if usage.worker.namespace in ("", self._namespace)
        }
