"""The stop of a master, by its pid file or control socket. Runs in a command."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import NamedTuple

from resqued.config import layers, loader
from resqued.control import requests, sockets
from resqued.control.requests import Address
from resqued.errors import ControlError
from resqued.system import pidfile
from resqued.system.process_handle import ProcessHandle


class StopResult(NamedTuple):
    """The result of stopping a master.

    `pid` is None if no process held the pid file. `has_ended` is False if the master
    still ran after the timeout.
    """

    pid: int | None
    has_ended: bool


def find_pid_file(pid_file: str | None, config_file: str | None) -> Path:
    """Return the path of the pid file, even if other configuration keys are wrong.

    `pid_file` and `config_file` are options; None: not given. Raises ConfigError if
    the file of the configuration cannot be read.
    """
    if pid_file:
        return pid_file_in(pid_file, "")
    path = loader.file_in_use(config_file, os.environ)
    words = {n: v for n, v in os.environ.items() if n.endswith("PIDFILE")}
    tables = loader.merge(
        loader.load(path) if path is not None else {}, loader.from_environment(words)
    )
    return pid_file_in(
        layers.text_at(tables, "daemon", "pid_file"),
        layers.text_at(tables, "control", "directory"),
    )


def pid_file_in(named: str, directory: str) -> Path:
    """Return the named file, or the default one, which is beside the sockets."""
    if named:
        return Path(named).absolute()
    return sockets.directory(directory, os.environ).absolute() / pidfile.NAME


def stop(pid_file: Path, *, now: bool, timeout: float | None) -> StopResult:
    """Stop the master that holds the pid file, if any, and wait for its exit.

    Running jobs finish first; `now` ends them. Waits `timeout` seconds, or without
    limit if None. Raises ControlError if the master is just starting or ending, or
    belongs to another user.
    """
    pid = pidfile.holder(pid_file)
    if pid is None:
        return StopResult(None, has_ended=True)
    handle = ProcessHandle.open(pid) if pid else None
    try:
        # Read the holder again: the handle now excludes that the pid was reused.
        if handle is None or pidfile.holder(pid_file) != pid:
            raise ControlError(
                f"the master that holds pid file {pid_file} is just starting, or"
                " ending: try again"
            )
        has_ended = _end(handle, pid, now=now, timeout=timeout)
        if has_ended:
            # A master that has changed its user cannot remove a file of root.
            pidfile.remove_stale(pid_file)
        return StopResult(pid, has_ended)
    finally:
        if handle is not None:
            handle.close()


def stop_listening(address: Address, *, now: bool, timeout: float | None) -> StopResult:
    """Stop the master that listens at a control socket, and wait for its exit.

    Arguments and result are those of `stop`. Raises NoMasterError if the master has
    exited, ControlError if another process answers or the master belongs to another
    user.
    """
    handle = requests.open_process(address)
    try:
        has_ended = _end(handle, address.pid, now=now, timeout=timeout)
        return StopResult(address.pid, has_ended)
    finally:
        handle.close()


def _end(handle: ProcessHandle, pid: int, *, now: bool, timeout: float | None) -> bool:
    """Order a master to stop; return False if it still runs after the timeout."""
    # Not SIGTERM, which can be configured to mean the same as SIGQUIT.
    has_ended = _signal(handle, pid, signal.SIGINT if now else signal.SIGQUIT)
    return has_ended or handle.has_ended(timeout)


def _signal(handle: ProcessHandle, pid: int, signum: signal.Signals) -> bool:
    """Send a signal to a master; return True if it has ended already."""
    try:
        handle.send(signum)
    except ProcessLookupError:
        return True
    except PermissionError:
        raise ControlError(
            f"master {pid} is somebody else's: stop it as its user, or as root"
        ) from None
    return False
