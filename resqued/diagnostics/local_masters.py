"""The masters of this host: where they are, which of them is meant, what they answer.

Finds them by their control sockets, and changes nothing by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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
from resqued.diagnostics.pool_view import PoolView, PoolWorker, show_pools
from resqued.errors import ConfigError, ControlError, NoMasterError
from resqued.system import pidfile


class SeveralMastersError(ControlError):
    """More than one master runs here, and it is not said which one is meant."""


@dataclass(frozen=True, slots=True)
class Master:
    """A master that listens on this host."""

    address: Address

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.address.pid

    def view(self) -> PoolView:
        """Return its pool; raise ControlError if it does not answer."""
        return PoolView.of(requests.ask(self.address, StatusRequest()))

    # Each raises ControlError in the words of a master that refuses, and
    # NoMasterError if there is no answer.

    def pause(self) -> None:
        """Have its workers take no new jobs."""
        requests.ask(self.address, PauseRequest())

    def resume(self) -> None:
        """Have its workers take jobs again."""
        requests.ask(self.address, ResumeRequest())

    def reopen_log(self) -> None:
        """Have it and its workers open the log file again."""
        requests.ask(self.address, ReopenRequest())

    def drain(self, wait: ReplyWait | None = None) -> None:
        """Have its workers take no new jobs; with `wait` return when none runs."""
        request = DrainRequest(wait=wait is not None)
        requests.ask(self.address, request, wait=wait or ReplyWait())

    def scale(self, queues: str | None, workers: str) -> ScaleReply:
        """Have it want N, +N or -N workers on a queue list; None for the only one."""
        request = ScaleRequest(queues=queues, workers=workers)
        return requests.ask(self.address, request)

    def reload(self, wait: ReplyWait | None = None, *, program: bool = False) -> int:
        """Have it move to a new generation; return the number of that.

        With `wait` return when it has. `program`: have it replace its own program
        first, and wait.
        """
        request = ReloadRequest(wait=wait is not None, master=program)
        wait = wait or ReplyWait()
        return requests.ask(self.address, request, wait=wait).generation

    def stack(self, who: str) -> StackReply:
        """Return the stacks of the job of a worker: its id, its pid or its child's."""
        return requests.ask(self.address, StackRequest(who=who))

    def end_job(self, who: str) -> Sequence[PoolWorker]:
        """End the job of a worker, and return the worker.

        `who` is its id, its pid or that of its child.
        """
        return requests.ask(self.address, KillRequest(who=who)).ended

    def end_jobs(
        self, running: Sequence[PoolWorker], *, older_than: float
    ) -> Sequence[PoolWorker]:
        """End the jobs that workers were seen to run; return the workers that had them.

        A job that ended meanwhile, or has not run for `older_than` seconds, is left.
        """
        children = tuple(w.child for w in running if w.child is not None)
        request = KillRequest(older=older_than, children=children)
        return requests.ask(self.address, request).ended


@dataclass(frozen=True, slots=True)
class LocalMasters:
    """The masters where a configuration has them, or the one of a pid among them.

    `config_file` is the file that an option names, None for the usual one.
    """

    config_file: str | None
    pid: int | None = None

    def find(self) -> list[Master]:
        """Return them by pid.

        A configuration that cannot be read does not hide a master that is found where
        masters usually are. Raises ConfigError for it if none is found.
        """
        configured, problem = _configured(self.config_file)
        found = requests.masters(requests.places(configured, os.environ))
        if not found and problem is not None:
            raise problem
        return [Master(a) for a in found if self.pid in (None, a.pid)]

    def require(self) -> list[Master]:
        """Return them by pid; raise NoMasterError if there is none."""
        found = self.find()
        if not found:
            raise self.missing()
        return found

    def only(self) -> Master:
        """Return the one that there is.

        Raises NoMasterError if there is none, SeveralMastersError naming them if
        there are more.
        """
        found = self.require()
        if len(found) > 1:
            raise SeveralMastersError(
                f"several masters run here, so name one with --pid: {_listed(found)}"
            )
        return found[0]

    def with_worker(self, who: str) -> Master:
        """Return the only one, or that of a worker: its id, its pid or its child's.

        Raises what `only` raises, and ControlError if no master has such a worker.
        """
        found = self.find()
        if len(found) < 2:
            return self.only()
        for master in found:
            with suppress(ControlError):
                if master.view().has(who):
                    return master
        raise ControlError(
            f"{who} is no worker of any master here, and no child of one;"
            " `resqued top` lists them"
        )

    def missing(self) -> NoMasterError:
        """Return the error that says where no master was found."""
        places = self._places()
        if self.pid is not None and (others := requests.masters(places)):
            return NoMasterError(
                f"no master has the pid {self.pid}; those that run here:"
                f" {_listed(map(Master, others))}"
            )
        message = f"no master runs here: there is no socket of one in {places[0]}"
        for place in places[1:]:
            message += f" or {place}"
        for place, owner in requests.inaccessible_dirs(places).items():
            message += f"; {place} {requests.owner_hint(owner)}"
        return NoMasterError(message)

    def may_be_hidden(self) -> bool:
        """Return True if there may be masters where this user cannot look."""
        return bool(requests.inaccessible_dirs(self._places()))

    def _places(self) -> list[Path]:
        configured, _ = _configured(self.config_file)
        return requests.places(configured, os.environ)


def fetch_pools(
    found: Sequence[Master],
    *,
    usage: bool = False,
    patience: float = requests.PATIENCE,
) -> list[PoolView]:
    """Return the pool of each master, or the reason why it does not answer.

    `usage`: with what each worker uses. `patience` are the seconds to wait for each.
    """
    addresses = [master.address for master in found]
    answers = requests.fetch_statuses(addresses, usage=usage, patience=patience)
    return list(map(PoolView.of, answers))


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
    """Return the directory that the configuration names, and what is wrong with it.

    Other keys are not looked at.
    """
    path = loader.file_in_use(config_file, os.environ)
    if path is None:
        return "", None
    try:
        return layers.text_at(loader.load(path), "control", "directory"), None
    except ConfigError as error:
        return "", error


def _listed(found: Iterable[Master]) -> str:
    return ", ".join(f"{master.pid} ({_pools_of(master)})" for master in found)


def _pools_of(master: Master) -> str:
    try:
        return show_pools(master.view().pools)
    except NoMasterError:
        return "does not answer"
    except ControlError:
        return "is somebody else's"
