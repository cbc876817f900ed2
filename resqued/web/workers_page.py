"""The workers: by host, in a list, and each with all that is known about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from flask import Response, abort, request, url_for
from msgspec import Struct
from werkzeug.wrappers import Response as BaseResponse

from resqued.diagnostics import worker_removal
from resqued.diagnostics.facts import LIVE
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.errors import ResquedError, StoreError
from resqued.web import audit
from resqued.web.acting import done
from resqued.web.failure_relatives import last_of_worker
from resqued.web.formats import queue_of_request
from resqued.web.paging import pages_of
from resqued.web.render import page, snapshot
from resqued.web.site import site
from resqued.wire.worker_entry import Identity

_PER_PAGE = 100
STATES = ("working", "idle", "dead", "silent", "unknown")


class HostRow(Struct, frozen=True):
    """A host, with how many of its workers are in each state."""

    name: str
    states: Counter[str]

    @property
    def total(self) -> int:
        """How many workers the host has."""
        return self.states.total()


def show_all() -> Response:
    """Show the hosts, or the workers if there is but one host."""
    hosts = list(_hosts(snapshot().workers))
    if len(hosts) <= 1:
        return _list("Workers", snapshot().workers)
    pages = pages_of(len(hosts), _PER_PAGE)
    return page(
        "hosts.html",
        hosts=hosts[pages.start : pages.end],
        pages=pages,
        totals=Counter(status.state for status in snapshot().workers),
        states=STATES,
    )


def _hosts(workers: Sequence[WorkerStatus]) -> Iterator[HostRow]:
    states: dict[str, Counter[str]] = {}
    for status in workers:
        states.setdefault(status.worker.host, Counter())[status.state] += 1
    for name in sorted(states):
        yield HostRow(name, states[name])


def _list(title: str, found: Sequence[WorkerStatus]) -> Response:
    state = request.args.get("state", "")[:20]
    if state:
        found = [status for status in found if status.state == state]
    pages = pages_of(len(found), _PER_PAGE)
    return page(
        "workers.html",
        title=title,
        workers=found[pages.start : pages.end],
        pages=pages,
        state=state,
        states=STATES,
    )


def show(name: str) -> Response:
    """Show a worker by its id, the workers of a host, or all of them."""
    wanted = queue_of_request(name)
    workers = snapshot().workers
    if wanted == "all":
        return _list("All workers", workers)
    for status in workers:
        if status.worker.id == wanted:
            return _show_one(status)
    of_host = [status for status in workers if status.worker.host == wanted]
    if not of_host:
        abort(
            404,
            f"there is no worker and no host {wanted!r}: it may have ended;"
            " the list of workers shows those that are registered",
        )
    return _list(f"Workers of {wanted}", of_host)


def _show_one(status: WorkerStatus) -> Response:
    (entry,) = site().client.registry.read([status.worker.id], with_records=False)
    kind = "Ruby Resque"
    if Identity.decode(entry.identity):
        kind = "resqued"
    elif entry.ping:
        kind = "node-resque"
    return page(
        "worker.html",
        found=status,
        kind=kind,
        local=site().local.get().get(status.worker.id),
        is_live=status.state in LIVE,
        failures=[] if request.args.get("part") else last_of_worker(status.worker.id),
    )


def remove(name: str) -> BaseResponse:
    """Remove a worker that gives no sign of life; its job becomes a failure."""
    worker_id = queue_of_request(name)
    site().keeper.forget()
    status = next((s for s in snapshot().workers if s.worker.id == worker_id), None)
    if status is None:
        abort(409, f"worker {worker_id} is not registered any more: nothing to remove")
    if status.state in LIVE:
        abort(
            409,
            f"worker {worker_id} is alive ({status.state}): stop it on its host, and it"
            " goes by itself",
        )
    try:
        removed = worker_removal.remove(site().client, worker_id)
    except StoreError:
        raise
    except ResquedError as error:
        abort(409, str(error))
    job = f"; its job {removed.job} is now a failure" if removed.job else ""
    audit.record("remove_worker", worker_id)
    return done(f"Removed worker {worker_id}{job}.", url_for("workers.show_all"))
