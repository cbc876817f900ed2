"""The jobs that run now, the one that runs longest first; to end one, or see its stack.

Ending a job and reading its stack goes through the control socket of its master, which
must run on this host, as the user of the web front end.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import Response, abort, redirect, request, url_for
from msgspec import Struct
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.durations import seconds
from resqued.core.plural import join_names, pluralize
from resqued.diagnostics.stack_frames import without_own_frames
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.errors import ControlError
from resqued.web import audit
from resqued.web.acting import done
from resqued.web.coded_names import encoded_name
from resqued.web.formats import (
    decoded_name,
    queue_of_request,
    worker_url,
)
from resqued.web.local_control import LocalWorker
from resqued.web.paging import pages_of
from resqued.web.render import page, snapshot
from resqued.web.site import site

_PER_PAGE = 100
_NAMED = 5


class RunningRow(Struct, frozen=True):
    """A worker with its job, and what its master says if it runs on this host."""

    status: WorkerStatus
    local: LocalWorker | None

    @property
    def mark(self) -> str:
        """What a form carries: the worker, and the process of the job that was seen."""
        child = self.local.child if self.local else None
        return f"{encoded_name(self.status.worker.id)}.{child or ''}"


def show_all() -> Response:
    """Show the running jobs that the filter of the URL lets pass."""
    found = [status for status in snapshot().working if _is_wanted(status)]
    pages = pages_of(len(found), _PER_PAGE)
    return page(
        "working.html",
        rows=list(_rows(found[pages.start : pages.end])),
        pages=pages,
        is_filtered=any(request.args.get(name) for name in _FILTERS),
    )


_FILTERS = ("host", "queue", "class", "longer")


def _is_wanted(status: WorkerStatus) -> bool:
    job = status.worker.job
    if job is None:
        return False
    has = {
        "host": status.worker.host,
        "queue": job.queue,
        "class": job.class_name,
    }
    given = {name: request.args.get(name, "")[:500] for name in has}
    if any(text and text != has[name] for name, text in given.items()):
        return False
    longer = _longer()
    return longer is None or (status.job_age or 0.0) > longer


def _longer() -> float | None:
    """Return the seconds that a shown job has run at least; None for any."""
    text = request.args.get("longer", "").strip()[:20]
    if not text:
        return None
    try:
        return seconds(int(text) if text.isdecimal() else text)
    except ValueError:
        abort(400, f"{text!r} is no duration: longer than is such as 90s, 10m or 2h")


def _rows(found: list[WorkerStatus]) -> Iterator[RunningRow]:
    local = site().local.get() if found else {}
    for status in found:
        yield RunningRow(status, local.get(status.worker.id))


def show(name: str) -> BaseResponse:
    """Go to the page of a worker: the path is that of Resque."""
    return redirect(worker_url(queue_of_request(name)))


def ask_kill() -> Response:
    """Ask whether the selected jobs are to end."""
    marks = request.args.getlist("id")[:_PER_PAGE]
    chosen = [worker_id for worker_id, _ in map(_read_mark, marks)]
    found = [s for s in snapshot().working if s.worker.id in chosen]
    rows = list(_rows(found))
    return page("kill.html", rows=rows, marks=marks)


def kill() -> BaseResponse:
    """End the selected jobs, as far as the jobs that were seen still run here."""
    site().local.forget()
    local, ended, refused = site().local.get(), [], []
    for mark in request.form.getlist("id")[:_PER_PAGE]:
        worker_id, child = _read_mark(mark)
        found = local.get(worker_id)
        if found is None or found.child is None or str(found.child) != child:
            refused.append(f"{worker_id}: the job has ended, or is not of this host")
            continue
        try:
            affected = found.master.end_jobs([found.usage.worker], older_than=0.0)
        except ControlError as error:
            refused.append(f"{worker_id}: {error}")
            continue
        ended += [worker.id for worker in affected]
    audit.record(
        "kill", join_names([*ended, *refused], _NAMED) or "no job", count=len(ended)
    )
    message = f"Ending {pluralize(len(ended), 'job')}."
    if refused:
        message += f" Not ended: {join_names(refused, _NAMED)}."
    return done(message, url_for("working.show_all"), "warn" if refused else "good")


def _read_mark(mark: str) -> tuple[str, str]:
    name, _, child = mark.partition(".")
    return decoded_name(name), child


def stack(name: str) -> Response:
    """Show the Python stacks of the job of a worker."""
    worker_id = queue_of_request(name)
    found = site().local.get().get(worker_id)
    if found is None:
        host = worker_id.partition(":")[0]
        abort(
            409,
            f"no master of {worker_id} answers here:"
            f" `resqued stack {worker_id}` on host {host} shows its stack",
        )
    try:
        reply = found.master.stack(worker_id)
    except ControlError as error:
        abort(409, str(error))
    audit.record("stack", worker_id)
    lines = without_own_frames(reply.stack)
    return page("stack.html", worker_id=worker_id, child=reply.child, lines=lines)
