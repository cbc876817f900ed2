"""The masters of all hosts, from their records, and orders to those of this host."""

from __future__ import annotations

from flask import Response, abort, request
from werkzeug.wrappers import Response as BaseResponse

from resqued.control import protocol
from resqued.control.protocol import BadMessageError, StatusRequest
from resqued.core.roles import CONTROL
from resqued.diagnostics.pool_view import PoolView
from resqued.errors import ControlError
from resqued.store.master_records import MasterRecords
from resqued.web import acting, audit, master_control
from resqued.web.formats import queue_of_request, queue_url
from resqued.web.identity import current_user
from resqued.web.master_control import RemoteMasterError
from resqued.web.render import page
from resqued.web.site import site
from resqued.wire.master_record import MasterRecord


def show_all() -> Response:
    """Show every master that has a record."""
    return page("masters.html", masters=site().facts.masters.value())


def show(name: str) -> Response:
    """Show one master: its pools, and its workers while it publishes them."""
    record = _record(name)
    site().facts.watch()
    view = None if request.args.get("part") == "facts" else _detail(record)
    is_known = bool(view)
    workers = [
        worker
        for worker in (view.workers if view else ())
        if worker.namespace in ("", site().settings.namespace)
    ]
    # Only for the page: a part of it has no buttons.
    remote = "" if "part" in request.args else _why_remote(record)
    return page(
        "master.html",
        record=record,
        workers=workers,
        is_known=is_known,
        remote=remote,
        command=master_control.command,
    )


def act(name: str) -> BaseResponse:
    """Give an order to a master of this host."""
    record = _record(name)
    action = request.form.get("action", "")
    if action not in master_control.ACTIONS:
        abort(400, f"{action[:40]!r} is no order; there are pause, resume, drain, …")
    target = f"master {record.id}"
    try:
        master = master_control.local_master(site(), record)
        message = master_control.order(
            master, action, request.form, site().settings.namespace
        )
    except RemoteMasterError as error:
        audit.record(action, target, count=0, result=str(error))
        abort(409, f"{error}; run there: {master_control.command(record, action)}")
    except ControlError as error:
        audit.record(action, target, count=0, result=str(error))
        return acting.done(str(error), queue_url(record.id, "masters.show"), "bad")
    audit.record(action, target, result=message)
    site().facts.masters.forget()
    site().keeper.forget()
    return acting.done(message, queue_url(record.id, "masters.show"))


def _record(name: str) -> MasterRecord:
    wanted = queue_of_request(name)
    found = {record.id: record for record in site().facts.masters.value()}
    if wanted not in found:
        abort(404, f"master {wanted[:200]} has no record: it has stopped or was killed")
    return found[wanted]


def _detail(record: MasterRecord) -> PoolView | None:
    """Return what a master publishes while it is looked at; None if it does not yet."""
    records = MasterRecords(site().client.registry.link, site().keys)
    raw = records.detail(record.id)
    if raw is None:
        return None
    try:
        answer = protocol.decode_reply(raw, StatusRequest())
    except BadMessageError:
        return None
    if isinstance(answer, protocol.ErrorReply):
        return None
    return PoolView.of(answer)


def _why_remote(record: MasterRecord) -> str:
    """Return why this page cannot give orders to a master; "" if it can."""
    user = current_user()
    if user is None or not user.may(CONTROL):
        return ""
    try:
        master_control.local_master(site(), record)
    except ControlError as error:
        return str(error)
    return ""
