"""What tasks do, by kind: each works in steps, and can be stopped between two of them.

A task may be begun again from the start: what it has done is marked, or gone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from functools import partial

from resqued.core.task_state import TaskRecord
from resqued.store.bulk import CHUNK, BulkProgress
from resqued.store.failure_entry import Failure
from resqued.store.failures import SeenAction
from resqued.store.seen_bound import SeenNothingError, digest_of
from resqued.store.task_records import MOST_HITS, TaskRecords
from resqued.web.failure_choice import SEES_ARGS, bounds_of, filter_of
from resqued.web.site import Site

Steps = Generator[BulkProgress]

# How many jobs of a queue one round trip moves, and how many failures a step searches.
_BATCH, _SEARCHED = 500, 500


def _failures(site: Site, task: TaskRecord, action: SeenAction) -> Steps:
    choice = task.choice
    which = filter_of(choice, site, sees_args=choice.get(SEES_ARGS) == "1")
    up_to = bounds_of(choice)
    # No step takes longer than a second at the rate, nor than the lease of the list.
    most = min(CHUNK, task.rate) if task.rate else CHUNK
    failures = site.client.failures
    try:
        yield from failures.seen_steps(
            which, action, up_to, most=most, began=task.began
        )
    except SeenNothingError:
        # Of a list that was cleared meanwhile, nothing is left to do.
        oldest = next(failures.oldest_first(), None)
        if oldest is not None and not _is_later(oldest, task.began):
            raise


def _is_later(failure: Failure, began: float) -> bool:
    """Return True if a failure came after a time in seconds since the epoch."""
    at = failure.failed_at
    return at is not None and at.timestamp() > began


def _search(site: Site, task: TaskRecord) -> Steps:
    """Find failures, the newest first; what was found is kept with the task."""
    choice = task.choice
    which = filter_of(choice, site, sees_args=choice.get(SEES_ARGS) == "1")
    failures = site.client.failures
    records = TaskRecords(site.client.registry.link, site.keys)
    records.forget_hits(task.id)
    total = failures.count()
    judged = found = 0
    hits: list[str] = []
    for failure in failures.newest_first(which.queue):
        judged += 1
        if choice.get("list") in (None, failure.list_name) and which.has(failure):
            hits.append(hit_of(failure))
        if judged % _SEARCHED == 0 or found + len(hits) >= MOST_HITS:
            records.add_hits(task.id, hits)
            found, hits = found + len(hits), []
            yield BulkProgress(judged, total, found)
            if found >= MOST_HITS:
                return
    records.add_hits(task.id, hits)
    yield BulkProgress(judged, max(judged, total), found + len(hits))


def hit_of(failure: Failure) -> str:
    """Return where a failure is: position, digest and list."""
    return f"{failure.position} {digest_of(failure.entry)} {failure.list_name}"


def _dequeue_class(site: Site, task: TaskRecord) -> Steps:
    return site.queues.dequeue_steps(task.choice["queue"], task.choice["class"])


def _move_queue(site: Site, task: TaskRecord) -> Steps:
    """Move the jobs that wait in a queue now, the next one first, behind another's."""
    source, target = task.choice["queue"], task.choice["to"]
    batch = min(_BATCH, task.rate) if task.rate else _BATCH
    for moved, total in site.queues.move(source, target, task_id=task.id, batch=batch):
        # Those of a process that has died count too.
        yield BulkProgress(moved, total, moved - task.done)


def _remove_queue(site: Site, task: TaskRecord) -> Steps:
    removed = site.queues.remove(task.choice["queue"], task_id=task.id)
    yield BulkProgress(removed, removed, removed - task.done)


STEPS: Mapping[str, Callable[[Site, TaskRecord], Steps]] = {
    "retry": partial(_failures, action="retry"),
    "retry_remove": partial(_failures, action="retry_remove"),
    "remove": partial(_failures, action="remove"),
    "search": _search,
    "dequeue_class": _dequeue_class,
    "move_queue": _move_queue,
    "remove_queue": _remove_queue,
}
# What the choice of each kind must name, beside the filter of failures.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "dequeue_class": ("queue", "class"),
    "move_queue": ("queue", "to"),
    "remove_queue": ("queue",),
}
