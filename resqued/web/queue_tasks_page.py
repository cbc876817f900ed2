"""Removes all jobs of a class from a queue, and moves a queue: what a task does.

Each asks first, with counts and samples of the first jobs; then the task starts.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import Response, abort, request, url_for
from msgspec import Struct
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.task_state import KINDS
from resqued.errors import PayloadError, ResquedError, StoreError
from resqued.web import acting, tasks
from resqued.web.formats import queue_of_request
from resqued.web.render import page, snapshot
from resqued.web.site import site
from resqued.wire.payload import decode_job

# What is looked at of a queue: so many jobs, of about so many bytes.
_LOOKED, _ROOM = 1_000, 8 << 20
_SAMPLES, _CLASSES, _QUEUES = 5, 50, 500
_LONGEST = 500
# The fields of a form that a task takes.
_FIELDS = ("rate", "expected")


class FirstJobs(Struct, frozen=True):
    """What the first jobs of a queue are: `looked_at` of `size`, by class."""

    size: int
    looked_at: int
    classes: Counter[str]
    samples: list[bytes]

    @property
    def is_all(self) -> bool:
        """Whether all jobs were looked at."""
        return self.looked_at >= self.size


def first_jobs(queue: str, class_name: str | None = None) -> FirstJobs:
    """Look at the first jobs of a queue; samples are of one class, or of any.

    Aborts with 409 if the key of the queue is no list.
    """
    (size,) = site().queues.lengths([queue])
    if size is None:
        abort(409, f"the key of queue {queue} is no list, so nothing waits there")
    classes: Counter[str] = Counter()
    samples: list[bytes] = []
    for raw in site().queues.from_head(queue, _LOOKED, _ROOM):
        name = _class_of(raw)
        classes[name] += 1
        if len(samples) < _SAMPLES and class_name in (None, name):
            samples.append(raw)
    # Jobs are taken and put while the queue is read.
    looked_at = classes.total()
    return FirstJobs(max(size, looked_at), looked_at, classes, samples)


def _class_of(raw: bytes) -> str:
    """Return the class of a job, uncut; "" if the payload is none."""
    try:
        return decode_job(raw).class_name
    except PayloadError:
        return ""


def ask_dequeue(name: str) -> Response:
    """Ask of which class all jobs are to be removed; then if they are to be."""
    return _ask_dequeue(queue_of_request(name))


def dequeue(name: str) -> Response | BaseResponse:
    """Start a task that removes all jobs of a class."""
    queue = queue_of_request(name)
    class_name = _value("class")
    if not class_name:
        return _ask_dequeue(queue, "Name a class: nothing was removed.", 422)
    try:
        return _start("dequeue_class", {"queue": queue, "class": class_name})
    except StoreError:
        raise
    except ResquedError as error:
        return _ask_dequeue(queue, f"{error}: nothing was removed.", 422)


def _ask_dequeue(queue: str, problem: str = "", status: int = 200) -> Response:
    class_name = _value("class")
    found = first_jobs(queue, class_name or None)
    return page(
        "dequeue_class.html",
        status=status,
        queue=queue,
        class_name=class_name,
        found=found,
        count=found.classes[class_name],
        classes=[each for each in found.classes.most_common(_CLASSES) if each[0]],
        problem=problem,
    )


def ask_move(name: str) -> Response:
    """Ask where the jobs are to go; then if they are to be moved."""
    return _ask_move(queue_of_request(name))


def move(name: str) -> Response | BaseResponse:
    """Start a task that moves the jobs that wait behind those of another queue."""
    queue, target = queue_of_request(name), _value("to")
    if not target:
        return _ask_move(queue, "Name the other queue: nothing was moved.", 422)
    try:
        return _start("move_queue", {"queue": queue, "to": target})
    except StoreError:
        raise
    except ResquedError as error:
        return _ask_move(queue, f"{error}: nothing was moved.", 422)


def _ask_move(queue: str, problem: str = "", status: int = 200) -> Response:
    target, now = _value("to"), snapshot()
    size: int | None = 0
    if target:
        (size,) = site().queues.lengths([target])
    if size is None:
        problem, status = f"The key of queue {target} is no list: choose another.", 409
    elif target == queue:
        problem, status = f"The jobs are on the queue {queue} already.", 422
    return page(
        "move_queue.html",
        status=status,
        queue=queue,
        target=target,
        target_size=size,
        service=now.services.of(target) if target else None,
        is_known=target in now.queues,
        names=[each for each in now.queues if each != queue][:_QUEUES],
        found=first_jobs(queue),
        can_move=bool(target) and not problem,
        problem=problem,
    )


def _start(kind: str, choice: dict[str, Any]) -> BaseResponse:
    for field in _FIELDS:
        if value := request.form.get(field, "").strip():
            choice[field] = value
    task_id = tasks.start(kind, choice)
    to = url_for("tasks.show", task_id=task_id)
    return acting.done(f"{KINDS[kind].title}: the task has started.", to)


def _value(name: str) -> str:
    return request.values.get(name, "")[:_LONGEST]
