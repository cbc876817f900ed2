"""The methods of Client that concern whole queues."""

from __future__ import annotations

from resqued.store.job_queues import Queues
from resqued.wire.naming import check_queue_name


class QueueClient:
    """What a client does with whole queues."""

    _queues: Queues

    def size(self, queue: str) -> int:
        """Return how many jobs wait in a queue; 0 if there is no such queue."""
        return self._queues.size(check_queue_name(queue))

    def queues(self) -> list[str]:
        """Return the names of all queues, sorted by their bytes."""
        return self._queues.names()

    def queue_sizes(self) -> dict[str, int]:
        """Return how many jobs wait in each queue, by its name."""
        return self._queues.sizes()

    def remove_queue(self, queue: str) -> int:
        """Remove a queue with the jobs in it; return how many jobs there were."""
        return self._queues.remove(check_queue_name(queue))

    def pause_queue(self, queue: str) -> bool:
        """Have no worker take a job from a queue; return False if it was paused.

        Running jobs continue, and jobs can be put on the queue. The workers of resqued
        know within a moment; Ruby workers only with resque-pause. The queue stays
        paused until it is resumed, also if no queue of this name exists.
        """
        return self._queues.pause(check_queue_name(queue))

    def resume_queue(self, queue: str) -> bool:
        """Have workers take jobs from a paused queue; return False if it was none."""
        return self._queues.resume(check_queue_name(queue))

    def paused_queues(self) -> list[str]:
        """Return the names of the paused queues, sorted by their bytes."""
        return self._queues.paused()
