"""Orders to a master of this host, through its control socket, and their commands.

The socket answers the user of the master and root. For other masters the pages show the
command that a person may run on the host of the master.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Mapping

from resqued.control import requests
from resqued.diagnostics.local_masters import Master
from resqued.diagnostics.redis_target import RedisTarget
from resqued.errors import ControlError
from resqued.store.server_url import redact
from resqued.system import process
from resqued.web.site import Site
from resqued.wire.master_record import MasterRecord

COUNT = re.compile(r"[+-]?[0-9]{1,6}")
_NAME = re.compile(r"\w[\w.-]*")
# How far the start of a master in its record and in its answer may be apart, in
# seconds, if its record has another host: a configuration may name that.
_APART = 10.0


class RemoteMasterError(ControlError):
    """The master is on another host, or does not answer this user."""


def local_master(site: Site, record: MasterRecord) -> Master:
    """Return the master of a record; raise RemoteMasterError if it is not reached."""
    places = requests.places(site.settings.control, os.environ)
    addresses = [a for a in requests.masters(places) if a.pid == record.pid]
    if not addresses:
        raise RemoteMasterError(
            f"master {record.id} has no control socket that this user may use here"
        )
    master = Master(addresses[0])
    try:
        view = master.view()
    except ControlError as error:
        raise RemoteMasterError(str(error)) from None
    target = RedisTarget(redact(site.settings.url), site.settings.namespace)
    is_same = record.host == process.host_in_ids("") or (
        abs(time.time() - view.since - record.since) < _APART
    )
    if not is_same or not target.is_among(view.redis, view.namespaces):
        raise RemoteMasterError(
            f"master {record.id} runs on another host: process {record.pid} of this"
            " host is another one"
        )
    return master


def order(master: Master, action: str, form: Mapping[str, str], namespace: str) -> str:
    """Give an order, and return what came of it; raise ControlError if it refuses.

    Of the form, `queues` and `count` are those of the action `scale`.
    """
    if action == "scale":
        return _scale(master, form, namespace)
    return _ORDERS[action](master)


def _scale(master: Master, form: Mapping[str, str], namespace: str) -> str:
    count = form.get("count", "").strip()
    if not COUNT.fullmatch(count):
        raise ControlError(f"{count[:20]!r} is not N, +N or -N, such as 4, +1 or -1")
    found = master.scale(form.get("queues", ""), count, namespace)
    return f"{found.queues}: {found.workers} workers, before {found.before}"


def _pause(master: Master) -> str:
    master.pause()
    return f"master {master.pid} is paused; running jobs continue"


def _resume(master: Master) -> str:
    master.resume()
    return f"master {master.pid} takes jobs"


def _drain(master: Master) -> str:
    master.drain()
    return f"master {master.pid} is paused, and its running jobs finish"


def _reload(master: Master) -> str:
    number = master.reload()
    return f"master {master.pid} starts generation {number}; this page says the result"


_ORDERS: Mapping[str, Callable[[Master], str]] = {
    "pause": _pause,
    "resume": _resume,
    "drain": _drain,
    "reload": _reload,
}
ACTIONS = (*_ORDERS, "scale")


def command(record: MasterRecord, *words: str) -> str:
    """Return the line that gives an order from a shell, on any host."""
    parts = ["resqued", *words, "--pid", str(record.pid)]
    # Records come from Redis: a name that begins with - would be an option.
    if _NAME.fullmatch(record.hidden_user):
        parts = ["sudo", "-u", record.hidden_user, *parts]
    if record.host != process.host_in_ids("") and _NAME.fullmatch(record.host):
        parts = ["ssh", record.host, *parts]
    return shlex.join(parts)
