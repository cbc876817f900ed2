"""The JSON API of tasks, and of the groups that show what a task may act on."""

from __future__ import annotations

from flask import Response

from resqued.core.task_state import GO_ON, PAUSE, RUN, STOP
from resqued.web import api_shapes, tasks
from resqued.web.api_answers import FARTHEST, answer, body, queries, refuse
from resqued.web.failure_index import failure_index
from resqued.web.groups_page import WAYS
from resqued.web.site import site

_ORDERS = (PAUSE, RUN, STOP, GO_ON)


def groups() -> Response:
    """Answer with the groups of failures with the same cause, the largest first."""
    asked = queries("by", "limit", "after")
    by = asked.choice("by", tuple(WAYS)) or "group"
    start, limit = asked.number("after", 0, FARTHEST, least=0), asked.limit
    # The ends are seen before the counts: what fails in between is not meant.
    up_to = site().client.failures.seen()
    coverage = failure_index().look()
    found = failure_index().groups(by)
    end = start + limit
    return answer(
        {
            "by": by,
            "groups": [api_shapes.group(each, by) for each in found[start:end]],
            "total": len(found),
            "read": coverage.read,
            "failures": coverage.length,
            "exact": coverage.is_exact,
            "problem": coverage.problem or None,
            "up_to": {name: str(bound) for name, bound in up_to.items()},
            "next": str(end) if end < len(found) else None,
        }
    )


def show_all() -> Response:
    """Answer with the tasks, the newest first."""
    queries()
    found = tasks.tasks().records.newest_first()
    return answer({"tasks": [api_shapes.task(each) for each in found]})


def show(task_id: str) -> Response:
    """Answer with one task."""
    queries()
    return answer(api_shapes.task(tasks.find(task_id)))


def order() -> Response:
    """Have a task pause, continue or stop, and answer with it."""
    sent = body(id=str, order=str)
    task_id, wanted = sent.get("id", ""), sent.get("order", "")
    if not task_id or wanted not in _ORDERS:
        refuse(422, f"send id and order, which is one of {', '.join(_ORDERS)}")
    tasks.order(tasks.find(task_id), wanted)
    return answer(api_shapes.task(tasks.find(task_id)))
