"""The masters that serve a namespace: those that answer here, and those of Redis.

A master of this host and user answers at its control socket, which knows each worker.
Of the others there is the record that they keep in Redis.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from resqued.client import Client
from resqued.config.loader import Config
from resqued.control import requests
from resqued.control.protocol import StatusReply
from resqued.store.master_records import MasterRecords
from resqued.system import process
from resqued.wire import queue_list
from resqued.wire.master_record import MasterRecord, master_id
from resqued.wire.queue_list import QueueList


class KnownMaster(Struct, frozen=True):
    """A master, with the complete queue lists of its workers in one namespace.

    `by_worker` are the lists by worker id, which only a master that answers tells
    (`answers`); a record has `lists` alone.
    """

    host: str
    pid: int
    is_paused: bool
    lists: tuple[QueueList, ...]
    by_worker: Mapping[str, QueueList] = field(default_factory=dict)
    answers: bool = False

    @property
    def id(self) -> str:
        """The name of the master in Redis."""
        return master_id(self.host, self.pid)

    def list_of(self, worker_id: str) -> QueueList | None:
        """Return the queue list of a worker; None if it is of another master.

        A worker id has the host and the names of the list: a master of this host with
        such a list is taken for that of the worker, if nobody knows better.
        """
        if self.answers:
            return self.by_worker.get(worker_id)
        host, _, rest = worker_id.partition(":")
        if host != self.host:
            return None
        names = rest.partition(":")[2]
        return next((each for each in self.lists if each.name == names), None)


def known_masters(client: Client, config: Config) -> list[KnownMaster]:
    """Return the masters that answer here, then the others that Redis knows."""
    here = process.host_in_ids(config.app.hostname)
    found = requests.masters(requests.places(config.control, os.environ))
    answers = requests.fetch_statuses(found)
    local = [
        _of_status(answer, here, client.namespace)
        for answer in answers
        if isinstance(answer, StatusReply)
    ]
    known = {master.id for master in local}
    return [*local, *(m for m in recorded_masters(client) if m.id not in known)]


def recorded_masters(client: Client) -> list[KnownMaster]:
    """Return the masters of all hosts that have a record in Redis."""
    registry = client.registry
    return [_of_record(r) for r in MasterRecords(registry.link, registry.keys).read()]


def list_of(masters: Sequence[KnownMaster], worker_id: str) -> QueueList | None:
    """Return the complete queue list of a worker; None if it is not known."""
    found = {master.list_of(worker_id) for master in masters} - {None}
    return found.pop() if len(found) == 1 else None


def is_paused(masters: Sequence[KnownMaster], worker_id: str) -> bool:
    """Return True if every master that a worker may be of is paused."""
    own = [master for master in masters if master.list_of(worker_id) is not None]
    return bool(own) and all(master.is_paused for master in own)


def _of_status(status: StatusReply, host: str, namespace: str) -> KnownMaster:
    lists = {
        worker.id: queue_list.parse(worker.queues)
        for worker in status.workers
        if (worker.namespace or status.namespace) == namespace
    }
    return KnownMaster(
        host,
        status.pid,
        status.is_paused,
        tuple(dict.fromkeys(lists.values())),
        lists,
        answers=True,
    )


def _of_record(record: MasterRecord) -> KnownMaster:
    lists = (QueueList(pool.queues, pool.exclusions) for pool in record.pools)
    return KnownMaster(record.host, record.pid, record.is_paused, tuple(lists))
