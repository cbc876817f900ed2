"""Pauses and resumes queues, and all workers of all hosts, as Ruby Resque does."""

from __future__ import annotations

from collections.abc import Sequence

from flask import abort, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.plural import join_names, pluralize
from resqued.web import audit
from resqued.web.acting import done
from resqued.web.formats import decoded_name
from resqued.web.render import snapshot
from resqued.web.site import site
from resqued.web.snapshot import EVERY_WORKER, queue_target

# The most queues at a time: those of a page.
_MOST = 100
# The most names in a message.
_NAMED = 5


def pause() -> BaseResponse:
    """Have no worker of any host take a job; running jobs continue."""
    site().queues.pause_all()
    audit.record("pause", EVERY_WORKER)
    return done(
        "All workers are paused: running jobs continue, and no other one begins.",
        url_for("overview.show"),
        "warn",
    )


def resume() -> BaseResponse:
    """Have the workers of all hosts take jobs again."""
    site().queues.resume_all()
    audit.record("resume", EVERY_WORKER)
    return done("All workers take jobs again.", url_for("overview.show"))


def pause_queues() -> BaseResponse:
    """Have no worker of resqued take a job from the queues of the form."""
    names = _names()
    if not names:
        return _none_selected()
    queues = site().queues
    queues.pause_each(names)
    _record("pause", names)
    others = "" if queues.pauses_ruby(*names) else " Ruby workers, if any, continue."
    message = f"Paused {_named(names)}: running jobs continue, and no other one begins."
    return done(message + others, url_for("queues.show_all"), "warn")


def resume_queues() -> BaseResponse:
    """Have workers take jobs again from the queues of the form."""
    names = _names()
    if not names:
        return _none_selected()
    site().queues.resume_each(names)
    _record("resume", names)
    message = f"Workers take jobs of {_named(names)} again."
    if snapshot().are_paused:
        message += " All workers are paused still."
    return done(message, url_for("queues.show_all"))


def pauser_of(queue: str) -> str:
    """Return the user who has paused a queue, by the audit; "" if not known."""
    return snapshot().pauser_of(queue)


def _names() -> list[str]:
    """Return the queue of the button that was pressed, or those that are ticked."""
    form = request.form
    marks = form.getlist("only") if "only" in form else form.getlist("id")
    names = list(dict.fromkeys(decoded_name(each) for each in marks))
    if len(names) > _MOST:
        abort(400, f"at most {_MOST} queues at a time")
    return names


def _named(names: Sequence[str]) -> str:
    noun = "queue" if len(names) == 1 else pluralize(len(names), "queue") + ":"
    return f"{noun} {join_names(list(names), _NAMED)}"


def _record(action: str, names: Sequence[str]) -> None:
    """Record an action on each queue, so that its pages can say who that was."""
    for name in names:
        audit.record(action, queue_target(name))


def _none_selected() -> BaseResponse:
    return done("No queue was selected.", url_for("queues.show_all"), "warn")
