"""One queue: the jobs that wait there, and what can be done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from flask import Response, abort, request, url_for
from msgspec import Struct
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.plural import pluralize
from resqued.core.visible_text import visible
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.web import audit, tasks
from resqued.web.acting import done
from resqued.web.formats import digest_of, queue_of_request, queue_url
from resqued.web.paging import Pages, number_in, pages_of
from resqued.web.render import page, snapshot
from resqued.web.shown_hours import QueueHours
from resqued.web.site import site
from resqued.wire.payload import class_of

_JOBS = 50
# Jobs that are read first, because their size is not known, and at a time.
_STEP = 10
# The most bytes of the jobs of a page; beyond, the page has fewer jobs.
_ROOM = 8 << 20
# How many places towards the head a job is looked for, while others are taken.
_WINDOW = 500
_SERVING = 20
# A queue with more jobs is removed by a task.
_AT_ONCE = 500
_SAMPLES = 5


class _Row(Struct, frozen=True):
    """A job of a queue: its index from the head, and its payload."""

    index: int
    raw: bytes

    @property
    def mark(self) -> str:
        """What a form carries: the digest of the payload, and the index as a hint."""
        return f"{digest_of(self.raw)}.{self.index}"


def show(name: str) -> Response:
    """Show the jobs that wait in a queue: from the head, or from the tail."""
    queue = queue_of_request(name)
    (size,) = site().queues.lengths([queue])
    if size is None:
        return page("queue_problem.html", queue=queue, status=409)
    pages = pages_of(size, _JOBS)
    is_from_tail = request.args.get("from") == "tail"
    rows = _rows(queue, pages, size, is_from_tail=is_from_tail)
    now = snapshot()
    serving = now.services.serving(queue, now.workers)
    return page(
        "queue.html",
        queue=queue,
        service=now.services.of(queue),
        hours=QueueHours([queue]),
        size=size,
        is_known=queue in now.queues,
        rows=rows,
        pages=Pages(pages.start, len(rows) or _JOBS, size),
        is_from_tail=is_from_tail,
        serving=serving[:_SERVING],
        foreign=_foreign(queue, serving) if queue in now.paused_queues else 0,
        more_serving=len(serving) - _SERVING,
    )


def _foreign(queue: str, serving: Sequence[WorkerStatus]) -> int:
    """Return how many workers of other libraries ignore the pause of a queue."""
    others = sum(status.is_foreign for status in serving)
    return others if others and not site().queues.pauses_ruby(queue) else 0


def _rows(queue: str, pages: Pages, size: int, *, is_from_tail: bool) -> list[_Row]:
    """Return the jobs of a page, and fewer where they are large."""
    rows: list[_Row] = []
    room, at = _ROOM, pages.start
    while at < pages.end and room > 0:
        count = min(_STEP, pages.end - at)
        first = size - at - count if is_from_tail else at
        found = site().queues.peek(queue, first, count)
        some = [_Row(first + i, raw) for i, raw in enumerate(found)]
        rows += reversed(some) if is_from_tail else some
        room -= sum(map(len, found))
        at += count
    return rows


def download(name: str) -> Response:
    """Return the payload of a job as it is."""
    queue = queue_of_request(name)
    raw = _job(queue, request.args.get("job", ""))
    response = Response(raw, mimetype="text/plain")
    response.headers["Content-Disposition"] = 'attachment; filename="job.txt"'
    return response


def remove_job(name: str) -> BaseResponse:
    """Remove one job."""
    return _change(name, "remove_job", site().queues.remove_one, "Removed")


def put_first(name: str) -> BaseResponse:
    """Move one job to the head."""
    return _change(name, "put_first", site().queues.put_first, "Put first")


def _change(
    name: str, action: str, change: Callable[[str, bytes], bool], verb: str
) -> BaseResponse:
    queue = queue_of_request(name)
    raw = _job(queue, request.form.get("job", ""))
    if not change(queue, raw):
        abort(409, _gone(queue))
    what = class_of(raw)
    audit.record(action, f"{what} of queue {queue}")
    return done(f"{verb}: one job {what} of queue {queue}.", queue_url(queue))


def _job(queue: str, mark: str) -> bytes:
    """Return the payload that a form means, or fail with 409 if it has gone."""
    digest, _, text = mark.partition(".")
    index = number_in(text, digits=11)
    if index is None:
        abort(400, "the form names no job: open the page of the queue again")
    found = next(
        (r for r in _towards_head(queue, index) if digest_of(r) == digest), None
    )
    if found is None:
        abort(409, _gone(queue))
    return found


def _towards_head(queue: str, index: int) -> Iterator[bytes]:
    """Yield the job at an index, and those before it.

    While jobs are taken at the head, the others come nearer to it.
    """
    for last in range(index, max(-1, index - _WINDOW), -_STEP):
        start = max(0, last - _STEP + 1)
        yield from reversed(site().queues.peek(queue, start, last - start + 1))


def _gone(queue: str) -> str:
    return (
        f"the job is not in queue {queue} any more: a worker has taken it, or somebody"
        " has removed it; the page of the queue shows what waits now"
    )


def ask_remove(name: str) -> Response:
    """Ask whether a queue is to be removed."""
    queue = queue_of_request(name)
    return _ask_remove(queue)


def _ask_remove(queue: str, *, is_wrong: bool = False, status: int = 200) -> Response:
    (size,) = site().queues.lengths([queue])
    return page(
        "remove_queue.html",
        queue=queue,
        size=size,
        samples=site().queues.peek(queue, 0, _SAMPLES) if size else [],
        is_task=(size or 0) > _AT_ONCE,
        is_wrong=is_wrong,
        status=status,
    )


def remove(name: str) -> Response | BaseResponse:
    """Remove a queue with its jobs; its name must have been typed if it has any."""
    queue = queue_of_request(name)
    (size,) = site().queues.lengths([queue])
    typed = request.form.get("typed", "")
    if size != 0 and typed not in (queue, visible(queue)):
        return _ask_remove(queue, is_wrong=bool(typed), status=409)
    if size is None:
        abort(409, f"the key of queue {queue} is no list; `redis-cli del` removes it")
    if size > _AT_ONCE:
        task_id = tasks.start("remove_queue", {"queue": queue, "expected": str(size)})
        to = url_for("tasks.show", task_id=task_id)
        return done("Remove a queue: the task has started.", to)
    count = site().queues.remove(queue)
    audit.record("remove_queue", queue, count=count)
    message = f"Removed queue {queue} with {pluralize(count, 'job')}."
    return done(message, url_for("queues.show_all"))
