"""The masters of this host: the search for them, the choice of one, and requests.

Masters are found by their control sockets.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from resqued.config import layers, loader
from resqued.control import requests
from resqued.control.protocol import (
    DrainRequest,
    KillRequest,
    PauseRequest,
    ReloadRequest,
    ReopenRequest,
    ResumeRequest,
    ScaleReply,
    ScaleRequest,
    StackReply,
    StackRequest,
    StatusRequest,
)
from resqued.control.requests import Address
from resqued.control.requests import ReplyWait as ReplyWait  # noqa: PLC0414
from resqued.core.plural import pluralize
from resqued.diagnostics.pool_view import PoolView, PoolWorker, show_pools
from resqued.diagnostics.redis_target import RedisTarget
from resqued.errors import ConfigError, ControlError, NoMasterError
from resqued.system import ownership, pidfile


class SeveralMastersError(ControlError):
    """More than one master runs here, and the command does not name one."""


class Master(Struct, frozen=True):
    """A master that listens on this host."""

    address: Address

    @property
    def pid(self) -> int:
        """The process id of the master."""
        return self.address.pid

    def view(self) -> PoolView:
        """Return the pool of the master; raise ControlError if it does not answer."""
        return PoolView.of(requests.ask(self.address, StatusRequest()))

    # Each method raises ControlError with the text of a master that refuses, and
    # NoMasterError if no answer comes.

    def pause(self) -> None:
        """Pause the pool: its workers take no new jobs."""
        requests.ask(self.address, PauseRequest())

    def resume(self) -> None:
        """Resume the pool: its workers take jobs again."""
        requests.ask(self.address, ResumeRequest())

    def reopen_log(self) -> None:
        """Make all processes of the master reopen the log file."""
        requests.ask(self.address, ReopenRequest())

    def drain(self, wait: ReplyWait | None = None) -> None:
        """Pause the pool; with `wait` return when no job is running."""
        request = DrainRequest(wait=wait is not None)
        requests.ask(self.address, request, wait=wait or ReplyWait())

    def scale(
        self, queues: str | None, workers: str, namespace: str | None = None
    ) -> ScaleReply:
        """Set or change the wanted number of workers of a queue list.

        `workers` is N, +N or -N. `queues` may be None if the master has only one queue
        list, and `namespace` if only one of its pools has this list.
        """
        request = ScaleRequest(queues=queues, namespace=namespace, workers=workers)
        return requests.ask(self.address, request)

    def reload(self, wait: ReplyWait | None = None, *, program: bool = False) -> int:
        """Begin the move to a new generation; return its number.

        With `wait` return when the move is complete. With `program` the master replaces
        its own program first, and the call waits.
        """
        request = ReloadRequest(wait=wait is not None, master=program)
        wait = wait or ReplyWait()
        return requests.ask(self.address, request, wait=wait).generation

    def stack(self, who: str) -> StackReply:
        """Return the stacks of a job; `who` is a worker's id or pid, or a child's."""
        return requests.ask(self.address, StackRequest(who=who))

    def end_job(self, who: str) -> Sequence[PoolWorker]:
        """End the job of a worker, and return the worker.

        `who` is the id or pid of the worker, or the pid of its child.
        """
        return requests.ask(self.address, KillRequest(who=who)).ended

    def end_jobs(
        self, running: Sequence[PoolWorker], *, older_than: float
    ) -> Sequence[PoolWorker]:
        """End the jobs of `running`, workers as they were read; return those affected.

        A job that is not running any more, or has not run for `older_than` seconds, is
        not ended.
        """
        children = tuple(w.child for w in running if w.child is not None)
        request = KillRequest(older=older_than, children=children)
        return requests.ask(self.address, request).ended


class Survey(Struct, frozen=True):
    """The answers of the masters of this host: of the selected ones, and of the others.

    A master that does not answer, or that belongs to another user, counts as selected.
    """

    meant: Sequence[PoolView]
    others: Sequence[PoolView]

    def others_in_words(self) -> str:
        """Return the number of the others and what they serve, as text; "" if none."""
        counts = Counter(pool.serves for pool in self.others)
        return "; ".join(
            f"{pluralize(number, 'more master')} here"
            f" {'serves' if number == 1 else 'serve'} {target}"
            for target, number in counts.items()
        )


class LocalMasters(Struct, frozen=True):
    """The masters of this host, or those that serve one Redis.

    `config_file` is the file that an option names, None for the default one. With `pid`
    only the master of that pid is selected, whatever it serves. All masters are
    selected if `target` is None, or if no option names a Redis and none serves the
    default one. `namespace` is the one that an option names.
    """

    config_file: str | None
    pid: int | None = None
    target: RedisTarget | None = None
    namespace: str | None = None

    def find(self) -> list[Master]:
        """Return all masters that listen, or the one of `pid`, sorted by pid.

        No request is sent. If the configuration cannot be read, the default directories
        are searched, and ConfigError is raised if no master is found there.
        """
        configured, problem = _configured(self.config_file)
        found = requests.masters(requests.places(configured, os.environ))
        if not found and problem is not None:
            raise problem
        return [Master(a) for a in found if self.pid in (None, a.pid)]

    def survey(
        self, *, usage: bool = False, patience: float = requests.PATIENCE
    ) -> Survey:
        """Ask all masters for their status, each for at most `patience` seconds.

        With `usage` the answers include CPU time and memory of each worker.
        """
        addresses = [master.address for master in self.find()]
        answers = requests.fetch_statuses(addresses, usage=usage, patience=patience)
        pools = list(map(PoolView.of, answers))
        meant = self._meant(pools)
        pids = {pool.pid for pool in meant}
        return Survey(meant, [pool for pool in pools if pool.pid not in pids])

    def require(
        self, *, usage: bool = False, patience: float = requests.PATIENCE
    ) -> list[PoolView]:
        """Return the answers of the selected masters; raise NoMasterError if none."""
        found = self.survey(usage=usage, patience=patience)
        if not found.meant:
            raise self._unserved(found) if found.others else self.missing()
        return list(found.meant)

    def views(self) -> list[PoolView]:
        """Return the pools of the selected masters.

        Raises NoMasterError without any, and ControlError for one that does not answer.
        A master of another user counts only if no other is selected.
        """
        found, foreign = [], []
        for master in self.find():
            try:
                found.append(master.view())
            except NoMasterError:
                raise
            except ControlError as error:
                foreign.append(error)
        if meant := self._meant(found):
            return meant
        if foreign:
            raise foreign[0]
        raise self._unserved(Survey((), found)) if found else self.missing()

    def only(self) -> Master:
        """Return the only selected master.

        Raises NoMasterError if none is selected, SeveralMastersError with their names
        if several are.
        """
        found = self.find()
        if not found:
            raise self.missing()
        if len(found) == 1 and not (self.target and self.target.is_named):
            return found[0]
        pools = self.require()
        answering = [pool for pool in pools if not pool.error]
        if len(answering or pools) > 1:
            raise SeveralMastersError(
                "several masters run here, so name one with --pid:"
                f" {_listed(answering or pools)}"
            )
        (pid,) = (pool.pid for pool in answering or pools)
        return next(master for master in found if master.pid == pid)

    def with_worker(self, who: str) -> Master:
        """Return the only selected master, or the one that has a worker or child `who`.

        `who` is a worker's id or pid, or a child's pid. Raises what `only` raises, and
        ControlError if no selected master has such a worker.
        """
        found = self.find()
        if len(found) < 2:
            return self.only()
        owners = {pool.pid for pool in self.require() if pool.has(who)}
        for master in found:
            if master.pid in owners:
                return master
        raise ControlError(
            f"{who} is no worker of any master here{self._of_target()}, and no child"
            " of one; `resqued top` lists them"
        )

    def _meant(self, pools: Sequence[PoolView]) -> list[PoolView]:
        target = self.target
        if self.pid is not None or target is None:
            return list(pools)
        serving = target.serving(pools)
        return serving if serving or target.is_named else list(pools)

    def _of_target(self) -> str:
        return f" that serves {self.target}" if self.target else ""

    def _unserved(self, found: Survey) -> NoMasterError:
        """Return the error that all masters here serve another Redis or namespace."""
        there = ", ".join(f"{pool.pid} ({pool.serves})" for pool in found.others)
        return NoMasterError(
            f"no master here serves {self.target}; those that run here: {there};"
            " name one with --pid, or its Redis with -r, -N or -c"
        )

    def of_unit(self, name: str) -> Master:
        """Return the master that systemd runs as a unit; raise NoMasterError."""
        for master in self.find():
            if ownership.is_of_unit(master.pid, name):
                return master
        raise NoMasterError(f"no master runs as {name}: `systemctl status {name}`")

    def summary(self) -> str:
        """Return the masters that run here, with their pools, as text; "" if none."""
        try:
            return _listed([master.view() for master in self.find()])
        except ConfigError:
            return ""

    def missing(self) -> NoMasterError:
        """Return the error that names the places without a master."""
        places = self._places()
        if self.pid is not None and (others := requests.masters(places)):
            return NoMasterError(
                f"no master has the pid {self.pid}; those that run here:"
                f" {_listed(_pools_at(others))}"
            )
        message = f"no master runs here: there is no socket of one in {places[0]}"
        for place in places[1:]:
            message += f" or {place}"
        hints = [
            f"{place} {requests.owner_hint(owner)}"
            for place, owner in requests.inaccessible_dirs(places).items()
        ]
        hints += [
            f"{place} {reason}, so what answers there is not trusted"
            for place, reason in requests.untrusted_dirs(places).items()
        ]
        way_out = ["start one, or run this as the user of the master"]
        return NoMasterError("; ".join([message, *(hints or way_out)]))

    def may_be_hidden(self) -> bool:
        """Return True if masters may exist where this user cannot read."""
        return bool(requests.inaccessible_dirs(self._places()))

    def _places(self) -> list[Path]:
        configured, _ = _configured(self.config_file)
        return requests.places(configured, os.environ)


def holder(pid_file: str | None) -> int | None:
    """Return the pid of the master that holds a pid file; None if no file is given.

    Raises NoMasterError if no process holds it.
    """
    if pid_file is None:
        return None
    pid = pidfile.holder(Path(pid_file))
    if not pid:
        raise NoMasterError(f"no master runs: nobody holds pid file {pid_file}")
    return pid


def _configured(config_file: str | None) -> tuple[str, ConfigError | None]:
    """Return the control directory of the configuration, or the error in its file.

    Other keys are not checked.
    """
    path = loader.file_in_use(config_file, os.environ)
    if path is None:
        return "", None
    try:
        return layers.text_at(loader.load(path), "control", "directory"), None
    except ConfigError as error:
        return "", error


def _listed(pools: Iterable[PoolView]) -> str:
    return ", ".join(f"{pool.pid} ({_in_words(pool)})" for pool in pools)


def _in_words(pool: PoolView) -> str:
    return "gives no answer" if pool.error else show_pools(pool.pools)


def _pools_at(addresses: Sequence[Address]) -> list[PoolView]:
    return list(map(PoolView.of, requests.fetch_statuses(addresses)))
