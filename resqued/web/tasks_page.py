"""The tasks: those that run, and the last ones."""

from __future__ import annotations

from flask import Response, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.task_state import GO_ON, PAUSE, RUN, STOP
from resqued.web import acting, tasks
from resqued.web.paging import page_of, pages_of
from resqued.web.render import page

_PER_PAGE = 50
_SAID = {
    PAUSE: "The task pauses after the step in hand.",
    RUN: "The task continues.",
    STOP: "The task stops after the step in hand. What it has done stays done.",
    GO_ON: "The task continues in this process.",
}


def show_all() -> Response:
    """Show the tasks, the newest first."""
    found = tasks.tasks().records.newest_first()
    return page(
        "tasks.html",
        tasks=page_of(found, _PER_PAGE),
        pages=pages_of(len(found), _PER_PAGE),
    )


def show(task_id: str) -> Response:
    """Show one task."""
    task = tasks.find(task_id)
    return page("task.html", task=task, may_order=tasks.may_order_now(task))


def order(task_id: str) -> BaseResponse:
    """Have a task pause, continue or stop."""
    wanted = request.form.get("order", "")
    task = tasks.find(task_id)
    tasks.order(task, wanted)
    return acting.done(_SAID[wanted], url_for("tasks.show", task_id=task_id))
