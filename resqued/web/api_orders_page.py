"""The JSON API of orders to masters of this host, through their control sockets.

A master elsewhere, or of another user, is refused with the command that does it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from flask import Response

from resqued.diagnostics.stack_frames import without_own_frames
from resqued.errors import ControlError
from resqued.store.master_records import MasterRecords
from resqued.web import audit, master_control
from resqued.web.api_answers import answer, body, name_in, named, refuse
from resqued.web.local_control import LocalWorker
from resqued.web.master_control import RemoteMasterError
from resqued.web.site import site
from resqued.wire.master_record import MasterRecord

KILL, STACK = "kill", "stack"
ORDERS = (KILL, STACK, *master_control.ACTIONS)


def give() -> Response:
    """Give an order: to end a job, to show its stack, or one to a whole master."""
    sent = body(
        order=str,
        worker=str,
        worker64=str,
        child=int,
        master=str,
        master64=str,
        queues=str,
        count=str,
    )
    wanted = sent.get("order", "")
    if wanted not in ORDERS:
        refuse(422, f"order={wanted[:40]!r} is none of {', '.join(ORDERS)}")
    if wanted == KILL:
        return _kill(sent)
    if wanted == STACK:
        return _stack(sent)
    return _to_master(wanted, sent)


def _worker(wanted: str, sent: Mapping[str, Any]) -> tuple[str, LocalWorker]:
    """Return the worker of a body; refuses one whose master does not answer here."""
    worker_id = name_in(sent, "worker")
    if worker_id not in site().client.registry.ids():
        refuse(404, f"there is no worker {worker_id[:100]!r}: GET workers lists them")
    # The job that runs now counts, not that of a second ago.
    site().local.forget()
    found = site().local.get().get(worker_id)
    if found is None:
        name, host = worker_id[:200], worker_id.partition(":")[0][:100]
        text = f"no master of {name} answers here: `resqued {wanted} {name}` on {host}"
        _refuse(wanted, worker_id, f"{text} does it")
    return worker_id, found


def _kill(sent: Mapping[str, Any]) -> Response:
    """End the job that was seen, known by its process; never a later one."""
    if "child" not in sent:
        refuse(422, "child is missing: GET working has the process of each job")
    worker_id, found = _worker(KILL, sent)
    child = sent["child"]
    if found.child is None or found.child != child:
        _refuse(KILL, worker_id, f"the job of process {child} has ended")
    try:
        ended = found.master.end_jobs([found.usage.worker], older_than=0.0)
    except ControlError as error:
        _refuse(KILL, worker_id, str(error))
    if not ended:
        _refuse(KILL, worker_id, f"the job of process {child} has ended")
    audit.record(KILL, named(worker_id)["name"])
    return answer({"order": KILL, **named(worker_id, "worker"), "child": child})


def _stack(sent: Mapping[str, Any]) -> Response:
    worker_id, found = _worker(STACK, sent)
    try:
        reply = found.master.stack(worker_id)
    except ControlError as error:
        _refuse(STACK, worker_id, str(error))
    audit.record(STACK, named(worker_id)["name"])
    lines = list(without_own_frames(reply.stack))
    about = {"order": STACK, **named(worker_id, "worker"), "child": reply.child}
    return answer({**about, "stack": lines})


def _to_master(wanted: str, sent: Mapping[str, Any]) -> Response:
    record = _record(name_in(sent, "master"))
    target, namespace = f"master {record.id}", site().settings.namespace
    if wanted == "scale" and not ("queues" in sent and "count" in sent):
        refuse(422, 'queues or count is missing: {"queues": "mail", "count": "+1"}')
    try:
        master = master_control.local_master(site(), record)
        message = master_control.order(master, wanted, sent, namespace)
    except RemoteMasterError as error:
        command = master_control.command(record, wanted)
        _refuse(wanted, target, f"{error}; run there: {command}")
    except ControlError as error:
        _refuse(wanted, target, str(error))
    audit.record(wanted, target, result=message)
    site().facts.masters.forget()
    site().keeper.forget()
    return answer({"order": wanted, **named(record.id, "master"), "message": message})


def _record(name: str) -> MasterRecord:
    records = MasterRecords(site().client.registry.link, site().keys).read()
    for record in records:
        if record.id == name:
            return record
    return refuse(404, f"master {name[:200]} has no record: GET masters lists them")


def _refuse(wanted: str, target: str, why: str) -> NoReturn:
    """Record that an order could not be given, and say so."""
    audit.record(wanted, named(target)["name"], count=0, result=why)
    refuse(409, why)
