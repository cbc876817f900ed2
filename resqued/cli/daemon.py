"""`resqued start`, `stop` and `restart`: the master as a daemon, without systemd.

What can be wrong is found before there is a daemon, as far as possible; the rest is
told by the daemon itself, through a pipe, to the command that waits for it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click

from resqued.cli.options import Duration, config_option, pid_file_option
from resqued.cli.table import show_line
from resqued.cli.work import Read, files, pool_options, reader, resume_master, run
from resqued.config import loader
from resqued.control import sockets
from resqued.core.durations import show_seconds
from resqued.core.plural import pluralize
from resqued.errors import ConfigError, ControlError
from resqued.launch import daemonize
from resqued.launch.daemonize import StartReport
from resqued.log import logfile
from resqued.master import reexec
from resqued.supervisor import MasterFiles
from resqued.system import pidfile, privileges, process
from resqued.system.pidfile import PidFile
from resqued.system.privileges import Account

F = TypeVar("F", bound=Callable[..., Any])

START_EXAMPLES = """
\b
Examples:
  resqued start critical,high -n 4 -a myapp.jobs --log-file /var/log/resqued.log
  resqued start -c /etc/resqued/resqued.toml --user resqued
"""
STOP_EXAMPLES = """
\b
Examples:
  resqued stop
  resqued stop --timeout 2m || resqued stop --now
  resqued stop --pidfile /run/resqued/mail.pid
"""
RESTART_EXAMPLES = """
\b
Examples:
  resqued restart -c /etc/resqued/resqued.toml
"""
# What imports for longer than [reload] start_timeout, 60 s, has been given up by then.
_PATIENCE = 90.0


def daemon_options(function: F) -> F:
    """Add the options of a daemon to those of every master."""
    for option in reversed(
        (
            pool_options,
            click.option("--user", metavar="NAME", help="Become this user, from root."),
            click.option("--group", metavar="NAME", help="And have this group."),
            click.option("--umask", metavar="MODE", help="Of new files [022]."),
            click.option(
                "--directory", metavar="DIR", help="Where the application lies."
            ),
            click.option(
                "--timeout",
                metavar="TIME",
                type=Duration(),
                default=_PATIENCE,
                help="How long all workers may take to be ready [90s].",
            ),
        )
    ):
        function = option(function)
    return function


@click.command(epilog=START_EXAMPLES)
@daemon_options
def start(timeout: float, **given: Any) -> int:
    """Run a pool of workers on QUEUES as a daemon; return when all are ready.

    Options and configuration are those of work. The master stays in the directory
    where it was started. If it cannot run, its reason and exit code are told here,
    and there is no daemon.
    """
    read = reader(**given)
    handoff = reexec.load_handoff(os.environ)
    if handoff is not None:
        return resume_master(read(), read, handoff)
    _launch(_prepare(read), timeout)
    return 0


@click.command(epilog=RESTART_EXAMPLES)
@daemon_options
@click.option("--now", is_flag=True, help="End the running jobs.")
def restart(timeout: float, now: bool, **given: Any) -> int:
    """Stop the daemon of the pid file, if it runs, and start one with these options.

    The configuration is checked first: if it is wrong, the daemon goes on. Running
    jobs finish first, however long that takes.
    """
    read = reader(**given)
    handoff = reexec.load_handoff(os.environ)
    if handoff is not None:
        return resume_master(read(), read, handoff)
    plan = _prepare(read)
    _stop(plan.pid_file, now=now, timeout=None)
    _launch(plan, timeout)
    return 0


@click.command(epilog=STOP_EXAMPLES)
@click.option("--now", is_flag=True, help="End the running jobs, and record them.")
@click.option(
    "--timeout",
    metavar="TIME",
    type=Duration(),
    help="How long to wait; without it, as long as it takes.",
)
@pid_file_option
@config_option
def stop(
    now: bool, timeout: float | None, pid_file: str | None, config_file: str | None
) -> None:
    """Stop the daemon of the pid file, and return when it has gone.

    Running jobs finish first, as with SIGQUIT; with --now they are ended, as with
    SIGTERM. If none runs, there is nothing to do, and that is no error.
    """
    _stop(place_of(pid_file, config_file), now=now, timeout=timeout)


# Where the pid file is


def place_of(pid_file: str | None, config_file: str | None) -> Path:
    """Return where the pid file is, whatever else is wrong with the configuration."""
    if pid_file:
        return _place(pid_file, "")
    path = loader.file_in_use(config_file, os.environ)
    words = {n: v for n, v in os.environ.items() if n.endswith("PIDFILE")}
    tables = loader.merge(
        loader.load(path) if path is not None else {}, loader.from_environment(words)
    )
    return _place(
        _word(tables, "daemon", "pid_file"), _word(tables, "control", "directory")
    )


def _word(tables: Mapping[str, Any], section: str, key: str) -> str:
    table = tables.get(section)
    found = table.get(key) if isinstance(table, Mapping) else None
    return found if isinstance(found, str) else ""


def _place(named: str, directory: str) -> Path:
    """Return the file that is named, or else the usual one, beside the sockets."""
    if named:
        return Path(named).absolute()
    return sockets.directory(directory, os.environ).absolute() / pidfile.NAME


# Starting


class _Plan(NamedTuple):
    """What is known of a daemon before there is one."""

    read: Read
    built: loader.Config
    who: Account | None
    pid_file: Path
    log_file: Path | None


def _prepare(read: Read) -> _Plan:
    """See what is wanted; raise ConfigError for what cannot be had."""
    daemonize.open_standard_streams()
    built = read()
    who = privileges.account(built.daemon.user, built.daemon.group)
    _, log_file = files(built)
    if log_file is not None:
        logfile.prepare(log_file, owner=None if who is None else who.owner)
    place = _place(built.daemon.pid_file, built.control)
    if not built.daemon.pid_file:
        try:
            sockets.prepare(place.parent)
        except ControlError as error:
            raise ConfigError(f"no pid file: {error} (--pidfile)") from None
    return _Plan(read, built, who, place, log_file)


def _launch(plan: _Plan, timeout: float) -> None:
    """Start the daemon, and return when it is ready."""
    pid_file = PidFile.take(plan.pid_file)
    try:
        if plan.who is not None and os.geteuid() == 0:
            _make_room(plan.built.control, plan.who)
        pid = daemonize.launch(lambda report: _run(plan, pid_file, report), timeout)
    finally:
        # The daemon has it, too, for as long as it lives.
        pid_file.close()
    workers = pluralize(plan.built.workers, "worker")
    silence = "" if plan.log_file else "; its log goes nowhere (see --log-file)"
    show_line(f"master {pid} runs, with {workers}{silence}")


def _run(plan: _Plan, pid_file: PidFile, report: StartReport) -> int:
    """Runs in the daemon."""
    mask = int(plan.built.daemon.umask, 8)
    daemonize.detach(umask=mask, keep=[pid_file.fileno(), report.fileno()])
    report.began()
    pid_file.write()
    try:
        if plan.who is not None:
            privileges.become(plan.who, os.environ)
        if plan.log_file is not None:
            # Not before: what can be opened now can be opened again.
            logfile.begin(plan.log_file)
        files = MasterFiles(pid_file, plan.log_file)
        return run(plan.built, plan.read, files=files, on_ready=report.ready)
    finally:
        pid_file.release()


def _make_room(configured: str, who: Account) -> None:
    """See that somebody who is not root has a directory for his control socket.

    If none is configured it lies in root's own, where everybody looks.
    """
    place = sockets.directory(configured, os.environ)
    try:
        if not configured:
            sockets.prepare(place)
            if place.stat().st_uid == who.uid:
                return
            place.chmod(0o755)
            place /= who.name
            os.environ["RUNTIME_DIRECTORY"] = str(place)
        if not place.exists():
            place.mkdir(mode=0o700, parents=True)
            os.chown(place, *who.owner)
    except (OSError, ControlError) as error:
        raise ConfigError(f"no place for a control socket: {error}") from None


# Stopping


def _stop(place: Path, *, now: bool, timeout: float | None) -> None:
    """Stop who holds the pid file, if anybody does, and wait until he has gone."""
    pid = pidfile.holder(place)
    if pid is None:
        show_line(f"no master runs: nobody holds pid file {place}")
        return
    handle = process.open_pidfd(pid) if pid else None
    try:
        # Read again with the process in hand: now it is certain who is meant.
        if handle is None or pidfile.holder(place) != pid:
            raise ControlError(
                f"the master that holds pid file {place} is just starting, or ending:"
                " try again"
            )
        # Not SIGTERM, which can be configured to mean the same as SIGQUIT.
        has_ended = _signal(handle, pid, signal.SIGINT if now else signal.SIGQUIT)
        if not has_ended and not process.has_ended(handle, timeout):
            assert timeout is not None, "without one there is no end of waiting"
            remedy = "" if now else "; `resqued stop --now` ends its jobs"
            raise ControlError(
                f"master {pid} still runs after {show_seconds(timeout)}{remedy}"
            )
    finally:
        if handle is not None:
            os.close(handle)
    show_line(f"master {pid} has stopped")


def _signal(handle: int, pid: int, signum: signal.Signals) -> bool:
    """Send a signal to a master; say whether it has ended already."""
    try:
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        return True
    except PermissionError:
        raise ControlError(
            f"master {pid} is somebody else's: stop it as its user, or as root"
        ) from None
    return False
