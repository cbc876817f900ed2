"""The names of all keys in Redis (wire format 1.2), under one namespace."""

from __future__ import annotations

from dataclasses import dataclass

# The namespace where nobody names another: that of Resque.
DEFAULT_NAMESPACE = "resque"


@dataclass(frozen=True, slots=True)
class Keys:
    """Makes key names; `namespace` is the part before the first colon."""

    namespace: str = DEFAULT_NAMESPACE

    def _key(self, name: str) -> str:
        return f"{self.namespace}:{name}"

    @property
    def queues(self) -> str:
        """The set of known queues."""
        return self._key("queues")

    def queue(self, name: str) -> str:
        """The list of a queue's payloads; the head is the next job."""
        return self._key(f"queue:{name}")

    @property
    def failed(self) -> str:
        """The list of failure entries; the tail is the newest."""
        return self._key("failed")

    @property
    def failed_aside(self) -> str:
        """The list of failure entries for as long as `failed` is no list."""
        return self._key("resqued:failed")

    @property
    def bulk(self) -> str:
        """The hash of lists on which a bulk operation works, to its state."""
        return self._key("resqued:bulk")

    def bulk_owner(self, list_name: str) -> str:
        """The lease of the process that works on a list; it expires."""
        return self._key(f"resqued:bulk:owner:{list_name}")

    def bulk_staged(self, list_name: str) -> str:
        """The elements of a list that a bulk operation has seen and that stay."""
        return self._key(f"resqued:bulk:staged:{list_name}")

    def line(self, queues: str) -> str:
        """The list of masters that wait for new jobs of a queue list, by a number."""
        return self._key(f"resqued:line:{queues}")

    @property
    def workers(self) -> str:
        """The set of registered worker ids."""
        return self._key("workers")

    def worker(self, worker_id: str) -> str:
        """The record of the job that a worker holds; absent while it is idle."""
        return self._key(f"worker:{worker_id}")

    def started(self, worker_id: str) -> str:
        """The time at which a worker started, as text."""
        return self._key(f"worker:{worker_id}:started")

    @property
    def heartbeats(self) -> str:
        """The hash of worker ids to their last heartbeats."""
        return self._key("workers:heartbeat")

    @property
    def identities(self) -> str:
        """The hash of worker ids to their identities; only resqued uses this key."""
        return self._key("resqued:workers")

    def ping(self, name: str) -> str:
        """The ping of a node-resque worker, whose name has no queues (8.3)."""
        return self._key(f"worker:ping:{name}")

    def stat(self, name: str, worker_id: str = "") -> str:
        """The counter `name`: of one worker if `worker_id` is given, else of all."""
        return self._key(f"stat:{name}:{worker_id}" if worker_id else f"stat:{name}")

    @property
    def paused(self) -> str:
        """The text that pauses all workers while it is `true`."""
        return self._key("pause-all-workers")

    @property
    def write_check(self) -> str:
        """A key that never exists: writing to it if it exists changes nothing."""
        return self._key("resqued:write-check")

    @property
    def prune_lock(self) -> str:
        """The lock that a process takes for 60 s to prune; Ruby takes it too."""
        return self._key("pruning_dead_workers_in_progress")
