"""Whether the masters of this host are well: one line and an exit code, for probes.

Nothing is changed, and a master that does not answer costs no more than the patience
for one answer.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from resqued.cli import masters
from resqued.client import Client
from resqued.control import requests
from resqued.control.protocol import StatusReply, StatusRequest
from resqued.core.plural import pluralize
from resqued.errors import ControlError, NoMasterError, StoreError

# Before the next look, for who waits until all is well.
_PAUSE = 0.1


class UnwellError(ControlError):
    """A master answers, but is not as it should be."""


def alive(config_file: str | None, pid: int | None = None) -> list[StatusReply]:
    """Return what each master of this host says, or one; raise if one says nothing.

    Asks nobody else: a master lives, whatever its workers and Redis do.
    """
    found = masters.all_of(config_file, pid)
    if not found:
        raise masters.missing(config_file, pid)
    return [requests.ask(address, StatusRequest()) for address in found]


def well(
    config_file: str | None, client: Client, pid: int | None = None
) -> list[StatusReply]:
    """Return what each master of this host says; raise if anything is wrong."""
    found = alive(config_file, pid)
    for status in found:
        if problem := problem_of(status):
            raise UnwellError(f"master {status.pid} {problem}")
    client.ping()
    return found


def problem_of(status: StatusReply) -> str:
    """Return what is wrong with a pool, to follow the name of its master, or nothing.

    A pause is no fault, nor is a reload that failed: somebody wanted the one, and
    after the other the old generation goes on.
    """
    if status.state != "running":
        return f"is {status.state}: it takes no more jobs"
    registered = Counter(
        worker.queues
        for worker in status.workers
        if worker.phase != "starting" and not worker.quits
    )
    lacking = [
        f"{registered[queues]} of {pluralize(wanted, 'worker')} on {queues}"
        for queues, wanted in status.pools.items()
        if registered[queues] < wanted
    ]
    if not lacking:
        return ""
    return f"has {', '.join(lacking)}; its log and `resqued status` say more"


def in_words(status: StatusReply) -> str:
    """Return a line on a master that is well."""
    paused = " and paused" if status.is_paused else ""
    wanted = pluralize(sum(status.pools.values()), "worker")
    return f"master {status.pid} is {status.state}{paused}, with {wanted}"


def until_so(
    look: Callable[[], list[StatusReply]], patience: float
) -> list[StatusReply]:
    """Look until there is nothing wrong; after the patience raise what still is."""
    last = time.monotonic() + patience
    while True:
        try:
            return look()
        except (UnwellError, NoMasterError, StoreError):
            if time.monotonic() + _PAUSE > last:
                raise
        time.sleep(_PAUSE)
