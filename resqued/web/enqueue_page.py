"""A form that enqueues a job; it may begin with the values of another job."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, abort, request
from msgspec import Struct
from msgspec.structs import replace
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.redaction import redacted
from resqued.core.roles import VIEW_ARGS
from resqued.core.visible_text import visible
from resqued.errors import PayloadError, ResquedError, StoreError
from resqued.store.failure_entry import Failure
from resqued.web import acting, audit
from resqued.web.failure_choice import asked_for, filter_of
from resqued.web.failure_search import chosen_list, of_url
from resqued.web.filtered_page import filtered
from resqued.web.formats import digest_of, queue_of_request, queue_url, sees_args
from resqued.web.identity import current_user
from resqued.web.paging import number_in
from resqued.web.render import page, snapshot
from resqued.web.site import site
from resqued.wire import payload
from resqued.wire.naming import check_queue

# Jobs beside the place that are looked at for the one to copy.
_WINDOW = 100
# Names that the form offers.
_MOST_NAMES = 500


class JobForm(Struct, frozen=True):
    """What the fields of the form have; `note` is about them, `problem` is an error."""

    queue: str = ""
    class_name: str = ""
    args: str = "[]"
    note: str = ""
    problem: str = ""


def show() -> Response:
    """Show the form, with the values of the failure that the URL means, if any.

    It names the failure, or asks for the newest one that its filter lets pass.
    """
    if wanted := request.args.get("failure", "")[:64]:
        failure = of_url(wanted).failure
        missing = f"failure {wanted[:40]} is not among the newest: it was removed"
    elif request.args.get("newest"):
        failure = _newest_like()
        missing = "no failure is left that this link means: it was removed"
    else:
        queue = request.args.get("queue", "")[:500]
        return _form(JobForm(queue, request.args.get("class", "")[:500]))
    if failure is None:
        abort(404, f"{missing}, or has been retried; look at the list of failures")
    return _form(_filled(failure.queue, failure.class_name, failure.args))


def _newest_like() -> Failure | None:
    """Return the newest failure that the filter of the URL lets pass."""
    try:
        which = filter_of(asked_for(), site(), sees_args=sees_args())
    except ResquedError as error:
        abort(400, str(error))
    chosen = chosen_list()
    indexed = filtered(which, chosen.name, below=None, count=1)
    found = indexed.failures if indexed else chosen.matching(which, 1).failures
    return found[0] if found else None


def show_queued(name: str) -> Response:
    """Show the form with the values of a job that waits."""
    queue, wanted = queue_of_request(name), request.args.get("job", "")
    place = number_in(request.args.get("place", "")) or 0
    first = max(0, place - _WINDOW)
    nearby = site().queues.peek(queue, first, 2 * _WINDOW)
    raw = next((one for one in nearby if digest_of(one) == wanted), None)
    if raw is None:
        abort(404, "the job does not wait there any more: a worker has taken it")
    try:
        job = payload.decode_job(raw)
    except PayloadError as error:
        abort(404, f"the element is no job: {error}")
    return _form(_filled(queue, job.class_name, job.args))


def _filled(queue: str, class_name: str, args: Sequence[Any]) -> JobForm:
    """Return the form with a job, without arguments if some must not be shown."""
    user = current_user()
    if user is None or not user.may(VIEW_ARGS):
        note = "your role may not see the arguments: write them again"
        return JobForm(queue, class_name, note=note)
    secret = {name.lower() for name in site().settings.redact}
    names = site().argument_names(class_name)
    is_hidden = (
        names is None
        or any(name.lower() in secret for name in names[: len(args)])
        or redacted(list(args), secret) != list(args)
    )
    if is_hidden:
        note = "some arguments are hidden on these pages, so none is filled in"
        return JobForm(queue, class_name, note=note)
    text = json.dumps(list(args), indent=2, ensure_ascii=False)
    if visible(text) != text:
        text = json.dumps(list(args), indent=2)
    return JobForm(queue, class_name, text)


def enqueue() -> BaseResponse:
    """Check the fields, and put the job on its queue; or show what is wrong."""
    form = request.form
    queue, name = form.get("queue", "").strip(), form.get("class", "").strip()
    filled = JobForm(queue, name, form.get("args", ""))
    try:
        args = _arguments(filled.args)
        check_queue(queue)
        if not name:
            raise ResquedError("name the class of the job, such as myapp.jobs.Archive")
        text = payload.encode_job(name, args)
        if most := site().settings.max_payload:
            payload.check_size(text, most, name)
        site().client.enqueue_to(queue, name, *args)
    except StoreError:
        raise  # it may be on the queue all the same: the page of errors says so
    except (ResquedError, ValueError) as error:
        return _form(replace(filled, problem=str(error)), status=422)
    audit.record("enqueue", f"{name} on {queue}")
    site().keeper.forget()
    return acting.done(f"enqueued {name} on queue {queue}", queue_url(queue))


def _arguments(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResquedError(f"the arguments are not JSON: {error}") from None
    if not isinstance(found, list):
        raise ResquedError(
            'the arguments are no list: write [1, "two"], or [] for none'
        )
    return found


def _form(filled: JobForm, status: int = 200) -> Response:
    queues: Mapping[str, int] = snapshot().queues
    return page(
        "enqueue.html",
        status=status,
        filled=filled,
        queues=sorted(queues)[:_MOST_NAMES],
        classes=site().facts.known_classes()[:_MOST_NAMES],
    )
