"""The JSON API, as far as it changes something: by ids, or by the name of one thing.

Each order is recorded in the audit. What is acted on is looked up as it is now, so an
order that is sent twice is done once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Protocol, TypeVar

from flask import Response
from msgspec import Struct, field

from resqued.core.plural import pluralize
from resqued.diagnostics import worker_removal
from resqued.errors import PayloadError, ResquedError, StoreError
from resqued.store.failure_entry import Failure
from resqued.store.failure_list import LOOK
from resqued.store.recurring import RecurringJobs
from resqued.store.redis_errors import may_have_been_executed
from resqued.store.waiting_retries import WaitingRetries
from resqued.web import audit
from resqued.web.api_answers import (
    LONGEST_NAME,
    answer,
    body,
    ids_in,
    name_in,
    named,
    queue_size,
    refuse,
)
from resqued.web.api_filters import BULK, start_bulk
from resqued.web.failure_search import digest_before
from resqued.web.site import site


class Listed(Protocol):
    """An element of a list, which answers have given an id."""

    @property
    def id(self) -> str:
        """The id, made of the bytes."""
        ...


ListedT = TypeVar("ListedT", bound=Listed)


class Order(Struct, frozen=True):
    """What the audit calls an order and its target.

    With `in_steps`, a part may have been done when Redis does not answer.
    """

    action: str
    target: str
    in_steps: bool = False


class OrderOutcome(Struct):
    """The ids that an order was done to, those that are gone, and those that cannot."""

    done: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the members of the answer."""
        return {"done": self.done, "gone": self.gone, "problems": self.problems}


def _act(
    order: Order,
    ids: list[str],
    found: Iterable[ListedT],
    act: Callable[[ListedT], bool],
) -> Response:
    """Do something to what has the ids; `found` is searched for them, once."""
    outcome = OrderOutcome()
    try:
        by_id = _picked(ids, found)
        for each_id in ids:
            _act_on(by_id.get(each_id), each_id, act, outcome)
    except StoreError as error:
        _record(order, outcome, str(error))
        maybe = order.in_steps or may_have_been_executed(error)
        refuse(503, f"Redis: {error}", **outcome.as_dict(), maybe=maybe)
    site().keeper.forget()
    _record(order, outcome)
    if outcome.done:
        return answer(outcome.as_dict())
    if outcome.problems:
        refuse(422, outcome.problems[0]["detail"], **outcome.as_dict())
    return refuse(404, f"it is not there any more: {ids[0][:40]}", **outcome.as_dict())


def _picked(ids: list[str], found: Iterable[ListedT]) -> dict[str, ListedT]:
    """Return what has the ids; the search ends when all were found."""
    wanted, picked = set(ids), dict[str, ListedT]()
    for each in found:
        if each.id in wanted and each.id not in picked:
            picked[each.id] = each
            if len(picked) == len(wanted):
                break
    return picked


def _act_on(
    found: ListedT | None,
    its_id: str,
    act: Callable[[ListedT], bool],
    outcome: OrderOutcome,
) -> None:
    try:
        is_done = found is not None and act(found)
    except PayloadError as error:
        outcome.problems.append({"id": its_id, "detail": str(error)})
        return
    (outcome.done if is_done else outcome.gone).append(its_id)


def _record(order: Order, outcome: OrderOutcome, result: str = "") -> None:
    done, gone = outcome.done, len(outcome.gone)
    if not (done or result):
        return
    left_out = f"{pluralize(gone, 'other')} gone" if gone else "done"
    shown = f"{order.target} {' '.join(done[:20])}".strip()
    audit.record(
        order.action, shown, count=len(done), result=result or left_out, ids=done
    )


def _failures(name: str) -> Iterable[Failure]:
    counts = site().client.failures.counts()
    names = [name] if name else list(counts)
    for each in names:
        found = site().client.failures.in_list(each)
        yield from islice(found.downwards(counts.get(each, 0)), LOOK)


def retry_failures() -> Response:
    """Enqueue the jobs of failures again; with `remove`, the failures go.

    Those of ids at once, those of a filter by a task.
    """
    sent = body(ids=list, list=str, queue=str, remove=bool, **BULK)
    if "filter" in sent:
        return start_bulk("retry_remove" if sent.get("remove") else "retry", sent)
    queue, removes = sent.get("queue") or None, sent.get("remove", False)
    ids, own = ids_in(sent), site().client.failures
    if queue and (len(queue) > LONGEST_NAME or not queue.isprintable()):
        refuse(422, "queue is no printable name")

    def act(failure: Failure) -> bool:
        return own.retry(failure, queue=queue, removes=removes)

    wanted = set(ids)
    name = sent.get("list", "")
    found = list(_several(wanted, _failures(name)))
    retried = [each.id for each in found if each.id not in wanted]
    if retried and len(retried) == len(found):
        refuse(409, f"it was retried since, and is failure {retried[0]} now")
    action = "retry and remove" if removes else "retry"
    target = name or "failures"
    where = f"{target} to {queue}" if queue else target
    return _act(Order(action, where), ids, found, act)


def _several(wanted: set[str], found: Iterable[Failure]) -> Iterable[Failure]:
    """Yield the failures of the ids, and those that had one before they were retried.

    A retry changes the bytes, and so the id.
    """
    left = set(wanted)
    for each in found:
        before = digest_before(each)[:12] if each.is_retried else ""
        if each.id in left or before in left:
            left -= {each.id, before}
            yield each
        if not left:
            return


def remove_failures() -> Response:
    """Remove failures; their jobs are gone then. Those of a filter go by a task."""
    sent = body(ids=list, list=str, **BULK)
    if "filter" in sent:
        return start_bulk("remove", sent)
    name = sent.get("list", "")
    act = site().client.failures.remove
    order = Order("remove", name or "failures")
    return _act(order, ids_in(sent), _failures(name), act)


def pause_queue() -> Response:
    """Have no worker take a job from a queue."""
    return _queue("pause", lambda name: {"was_paused": not site().queues.pause(name)})


def resume_queue() -> Response:
    """Have workers take jobs from a queue again."""
    return _queue("resume", lambda name: {"was_paused": site().queues.resume(name)})


def remove_queue() -> Response:
    """Remove a queue with the jobs in it."""
    return _queue("remove queue", _remove_queue)


def _remove_queue(name: str) -> dict[str, Any]:
    queue_size(name)
    return {"removed": site().queues.remove(name)}


def _queue(action: str, act: Callable[[str], dict[str, Any]]) -> Response:
    name = name_in(body(name=str, name64=str))
    done = act(name)
    site().keeper.forget()
    audit.record(action, named(name)["name"], count=done.get("removed", 1))
    return answer({**named(name), **done})


def enqueue() -> Response:
    """Put a job on a queue."""
    sent = body(**{"queue": str, "class": str, "args": list})
    queue, class_name = sent.get("queue", ""), sent.get("class", "")
    if not queue or not class_name:
        missing = "class" if queue else "queue"
        refuse(422, f'{missing} is missing: {{"queue": "q", "class": "C", "args": []}}')
    try:
        is_done = site().client.enqueue_to(queue, class_name, *sent.get("args", []))
    except StoreError:
        raise
    except ResquedError as error:
        refuse(422, str(error))
    site().keeper.forget()
    audit.record("enqueue", f"{class_name} on {queue}", count=int(is_done))
    # Nothing more is asked of Redis: a fault would look like one of the order.
    return answer({"queue": queue, "class": class_name, "enqueued": is_done}, 201)


def remove_worker() -> Response:
    """Remove a worker that is gone; the job that it held becomes a failure."""
    worker_id = name_in(body(id=str, id64=str), "id")
    if worker_id not in site().client.registry.ids():
        refuse(404, f"there is no worker {worker_id[:100]!r}: GET workers lists them")
    try:
        removed = worker_removal.remove(site().client, worker_id)
    except StoreError:
        raise
    except ResquedError as error:
        refuse(409, str(error))
    site().keeper.forget()
    audit.record("remove worker", named(worker_id)["name"])
    return answer({**named(worker_id, "id"), "job": removed.job})


def run_delayed() -> Response:
    """Put delayed jobs on their queues now."""
    own = site().client.delayed
    return _act(Order("run now", "delayed"), _ids(), _delayed(), own.run_now)


def cancel_delayed() -> Response:
    """Remove delayed jobs; they are gone then."""
    own = site().client.delayed
    return _act(Order("cancel", "delayed"), _ids(), _delayed(), own.cancel)


def _ids() -> list[str]:
    return ids_in(body(ids=list))


def _delayed() -> Iterable[Any]:
    return site().client.delayed.page(0, LOOK)


def run_retries() -> Response:
    """Put jobs that wait for another attempt on their queues now."""
    own = site().client.delayed
    return _act(Order("run now", "retries"), _ids(), _retries(), own.run_now)


def cancel_retries() -> Response:
    """Remove jobs that wait for another attempt; no failure is recorded."""
    ids, act = _ids(), _waiting().cancel
    order = Order("cancel", "retries", in_steps=True)
    return _act(order, ids, _retries(), act)


def _waiting() -> WaitingRetries:
    client = site().client
    return WaitingRetries(client.registry.link, site().keys, client.delayed)


def _retries() -> Iterable[Any]:
    return [each.job for each in _waiting().among(list(_delayed()))]


def release_quarantined() -> Response:
    """Put quarantined jobs back on their queues, and forget their deaths."""
    own = site().client.quarantine
    return _act(Order("release", "quarantine"), _ids(), islice(own, LOOK), own.release)


def remove_quarantined() -> Response:
    """Remove quarantined jobs; they are gone then."""
    own = site().client.quarantine
    return _act(Order("remove", "quarantine"), _ids(), islice(own, LOOK), own.remove)


def enable_schedule() -> Response:
    """Enqueue a recurring job again at its times."""
    return _schedule("enable schedule", lambda jobs, name: jobs.enable(name))


def disable_schedule() -> Response:
    """Enqueue a recurring job no more, on any host."""
    return _schedule("disable schedule", lambda jobs, name: jobs.disable(name))


def _schedule(action: str, act: Callable[[RecurringJobs, str], bool]) -> Response:
    name = name_in(body(name=str, name64=str))
    jobs = RecurringJobs(site().client.registry.link, site().keys)
    if name not in jobs.states():
        refuse(404, f"there is no recurring job {name[:100]!r}")
    has_changed = act(jobs, name)
    audit.record(action, named(name)["name"])
    return answer({**named(name), "changed": has_changed})
