"""The start of a master: in this process, as a daemon, or replacing its program.

Runs in a command, which becomes the master, or forks the daemon that does. Errors are
found before the daemon exists, as far as possible; the daemon reports others through a
pipe to the command that waits for it. Prints nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from resqued.config import loader
from resqued.config.changes import refuse_changes
from resqued.config.loader import Config
from resqued.control import sockets
from resqued.errors import ConfigError, ControlError, ExitCode
from resqued.launch import daemonize
from resqued.launch.daemonize import StartReport
from resqued.launch.master_options import MasterOptions, read_config
from resqued.launch.stopping import pid_file_in
from resqued.log import logfile, logger
from resqued.master import reexec
from resqued.master.handoff import HandoffState
from resqued.master.namespace_check import refuse_unusable
from resqued.supervisor import MasterFiles, Supervisor
from resqued.system import privileges
from resqued.system.pidfile import PidFile
from resqued.system.privileges import Account

# Reads the configuration, at the start and at each reload.
Read = Callable[[], Config]


class DaemonPlan(NamedTuple):
    """The data of a daemon before it is forked.

    `account` is the user that the daemon becomes; None: the user does not change.
    """

    read: Read
    config: Config
    account: Account | None
    pid_file: Path
    log_file: Path | None
    config_file: Path | None


class MasterFilePaths(NamedTuple):
    """The configured paths of the files of a master; None: not configured."""

    pid_file: Path | None
    log_file: Path | None


def file_paths(config: Config) -> MasterFilePaths:
    """Return the absolute paths of pid file and log file, if they are configured."""
    named = (config.daemon.pid_file, config.daemon.log_file)
    return MasterFilePaths(*(Path(name).absolute() if name else None for name in named))


# In this process


def _check_working_directory() -> None:
    """Raise ConfigError if the current directory was removed, as old releases are."""
    try:
        Path.cwd()
    except OSError as error:
        name = os.environ.get("PWD", "")
        raise ConfigError(
            f"the current directory {name} cannot be used: {error.strerror};"
            " change to another one"
        ) from None


def run_here(options: MasterOptions) -> int:
    """Run a master in this process until it stops; return the exit code.

    Raises ConfigError, OptionsError, AlreadyRunningError if a master holds the pid
    file, and all errors of Supervisor.run.
    """
    _check_working_directory()
    read = partial(read_config, options)
    config = read()
    paths = file_paths(config)
    # Only root can change its user; under systemd the process has the right user.
    daemon = config.daemon
    account = privileges.account(daemon.user, daemon.group) if _is_root() else None
    pid_file = PidFile.take(paths.pid_file) if paths.pid_file else None
    try:
        if pid_file is not None:
            pid_file.write()
        if account is not None:
            if paths.log_file is not None:
                logfile.prepare(paths.log_file, owner=account.owner)
            _make_room(config.control, account)
            privileges.become(account, os.environ)
        with logfile.redirected(paths.log_file):
            return _run(config, read, files=MasterFiles(pid_file, paths.log_file))
    finally:
        if pid_file is not None:
            pid_file.release()


def resume_master(options: MasterOptions) -> int | None:
    """Continue as the master that this process was before execve(2).

    Returns the exit code of the master, or of a dry run; None if no state was handed
    over, so that this process was no master. The files of the older program are open,
    so nothing is prepared, whether it was a daemon or not.
    """
    handoff = reexec.load_handoff(os.environ)
    if handoff is None:
        return None
    read = partial(read_config, options)
    config = read()
    if handoff.is_dry:
        # Raises ConfigError if this program cannot write the log in that form.
        _configure_log(config)
        refuse_changes(handoff.state.pool.current.config, config)
        refuse_unusable(config)
        return ExitCode.OK
    handed = handoff.state.pid_file
    pid_file = None
    if handed is not None:
        pid_file = PidFile.inherited(Path(handed.path), handed.descriptor)
    try:
        files = MasterFiles(pid_file, file_paths(config).log_file)
        return _run(config, read, handoff.state, files=files)
    finally:
        if pid_file is not None:
            pid_file.release()


def _is_root() -> bool:
    return os.geteuid() == 0


def _configure_log(config: Config) -> None:
    """Set up the log of a master, whose levels a reload can change."""
    logger.configure(
        level=config.log_level,
        style=config.log_format,
        events=config.log_events,
        may_change=True,
    )


def _run(
    config: Config,
    read: Read,
    resumes: HandoffState | None = None,
    *,
    files: MasterFiles,
    on_ready: Callable[[], None] = lambda: None,
) -> int:
    """Run a master in this process; standard output and error must be set up."""
    _configure_log(config)

    def ready() -> None:
        on_ready()
        if resumes is None and _is_root():
            logger.get(role="master", pid=os.getpid()).warning(
                "running_as_root",
                remedy="set [daemon] user, or start it as another user",
            )

    master = Supervisor(config, read, resumes, on_ready=ready, files=files)
    return int(master.run())


# As a daemon


def prepare(options: MasterOptions) -> DaemonPlan:
    """Read and check all that a daemon needs, before it is forked.

    Creates the log file, and the directory of the pid file if none is configured.
    Raises ConfigError if the configuration is wrong, the user or group is not known, or
    a file cannot be created.
    """
    _check_working_directory()
    read = partial(read_config, options)
    config = read()
    account = privileges.account(config.daemon.user, config.daemon.group)
    _, log_file = file_paths(config)
    if log_file is not None:
        logfile.prepare(log_file, owner=None if account is None else account.owner)
    pid_file = pid_file_in(config.daemon.pid_file, config.control)
    if not config.daemon.pid_file:
        try:
            sockets.prepare(pid_file.parent)
        except ControlError as error:
            raise ConfigError(f"no pid file: {error} (--pidfile)") from None
    config_file = loader.file_in_use(options.config_file, os.environ)
    if config_file is not None:
        config_file = config_file.absolute()
    return DaemonPlan(read, config, account, pid_file, log_file, config_file)


def start(plan: DaemonPlan, timeout: float) -> int:
    """Start the daemon, and return its pid when all its workers are ready.

    Raises LaunchError with the reasons if it cannot run, or is not ready within
    `timeout` seconds; AlreadyRunningError if a master holds the pid file.
    """
    pid_file = PidFile.take(plan.pid_file)
    try:
        if plan.account is not None and _is_root():
            _make_room(plan.config.control, plan.account)
        return daemonize.launch(
            lambda report: _run_daemon(plan, pid_file, report), timeout
        )
    finally:
        # The daemon has the descriptor too, for as long as it runs.
        pid_file.close()


def _run_daemon(plan: DaemonPlan, pid_file: PidFile, report: StartReport) -> int:
    """Run the master; called in the daemon."""
    mask = int(plan.config.daemon.umask, 8)
    daemonize.detach(umask=mask, keep=[pid_file.fileno(), report.fileno()])
    report.began()
    pid_file.write()
    try:
        if plan.account is not None:
            # A reload must read the same file, not the file of the new user.
            if plan.config_file is not None:
                os.environ["RESQUED_CONFIG"] = str(plan.config_file)
            privileges.become(plan.account, os.environ)
        if plan.log_file is not None:
            # After the change of user: the file can then be reopened later.
            logfile.begin(plan.log_file)
        files = MasterFiles(pid_file, plan.log_file)
        return _run(plan.config, plan.read, files=files, on_ready=report.ready)
    finally:
        pid_file.release()


def _make_room(configured: str, account: Account) -> None:
    """Create the directory for the control socket of a user who is not root.

    If none is configured it is a subdirectory of root's directory, where every command
    looks. Raises ConfigError.
    """
    place = sockets.directory(configured, os.environ)
    try:
        if not configured:
            sockets.prepare(place)
            if place.stat().st_uid == account.uid:
                return
            place.chmod(0o755)
            place /= account.name
            os.environ["RUNTIME_DIRECTORY"] = str(place)
        if not place.exists():
            place.mkdir(mode=0o700, parents=True)
            os.chown(place, *account.owner)
    except (OSError, ControlError) as error:
        raise ConfigError(f"no place for a control socket: {error}") from None
