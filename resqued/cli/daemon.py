"""`resqued start`, `stop` and `restart`: the master as a daemon, without systemd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from resqued.cli.options import Duration, config_option, pid_file_option
from resqued.cli.table import show_line
from resqued.cli.work import pool_options
from resqued.core.durations import show_seconds
from resqued.core.plural import pluralize
from resqued.diagnostics.local_masters import LocalMasters
from resqued.errors import ControlError, NoMasterError
from resqued.launch import launcher, stopping
from resqued.launch.launcher import DaemonPlan
from resqued.launch.master_options import MasterOptions
from resqued.launch.stopping import StopResult
from resqued.systemd.instance import unit

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
  resqued stop --pid 4711
  resqued stop --instance critical,high
"""
RESTART_EXAMPLES = """
\b
Examples:
  resqued restart -c /etc/resqued/resqued.toml
"""
# What imports for longer than [reload] start_timeout, 60 s, has been given up by then.
_PATIENCE = 90.0


def daemon_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a daemon to those of every master."""
    for option in reversed(
        (
            pool_options,
            click.option("--user", metavar="NAME", help="Become this user, from root."),
            click.option(
                "--group",
                metavar="NAME",
                help="Run with this group [that of the user].",
            ),
            click.option(
                "--umask",
                metavar="MODE",
                help="Permissions that new files do not get [022].",
            ),
            click.option(
                "--directory", metavar="DIR", help="Directory of the application."
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
def start(options: MasterOptions, timeout: float) -> int:
    """Run a pool of workers on QUEUES as a daemon.

    Returns when all workers are ready.

    Options and configuration are those of work. The master stays in the directory
    where it was started. If it cannot run, the command prints the reason, exits
    with the code of the master, and leaves no daemon.
    """
    code = launcher.resume_master(options)
    if code is None:
        _start(launcher.prepare(options), timeout)
    return code or 0


@click.command(epilog=RESTART_EXAMPLES)
@daemon_options
@click.option("--now", is_flag=True, help="End the running jobs.")
def restart(options: MasterOptions, timeout: float, now: bool) -> int:
    """Stop the daemon of the pid file, if it runs, and start one.

    The configuration is checked first: if it is wrong, the daemon stays. Running
    jobs finish first, however long that takes.
    """
    code = launcher.resume_master(options)
    if code is None:
        plan = launcher.prepare(options)
        stopped = stopping.stop(plan.pid_file, now=now, timeout=None)
        if stopped.pid is None:
            show_line(f"no master runs: nobody holds pid file {plan.pid_file}")
        else:
            _report(stopped, now=now, timeout=None)
        _start(plan, timeout)
    return code or 0


@click.command(epilog=STOP_EXAMPLES)
@click.option("--now", is_flag=True, help="End the running jobs, and record them.")
@click.option(
    "--timeout",
    metavar="TIME",
    type=Duration(),
    help="How long to wait; without it, there is no limit.",
)
@click.option(
    "--pid",
    type=click.IntRange(min=1),
    metavar="PID",
    help="The master that is meant, found by its control socket.",
)
@click.option(
    "--instance",
    metavar="NAME",
    help="The master that systemd runs as resqued@NAME.",
)
@pid_file_option
@config_option
def stop(
    now: bool,
    timeout: float | None,
    pid: int | None,
    instance: str | None,
    pid_file: str | None,
    config_file: str | None,
) -> None:
    """Stop the daemon of the pid file, and return when it has gone.

    Running jobs finish first, as with SIGQUIT; with --now they are ended, as with
    SIGTERM. If no master runs, there is nothing to do, and that is no error.

    --pid and --instance stop a master without a pid file, such as one that systemd
    runs.
    """
    if sum(option is not None for option in (pid, instance, pid_file)) > 1:
        raise click.UsageError("Give one of --pid, --instance and --pidfile.")
    if pid is not None or instance is not None:
        meant = LocalMasters(config_file, pid)
        master = meant.only() if instance is None else meant.of_unit(unit(instance))
        stopped = stopping.stop_listening(master.address, now=now, timeout=timeout)
    else:
        place = stopping.find_pid_file(pid_file, config_file)
        stopped = stopping.stop(place, now=now, timeout=timeout)
        if stopped.pid is None:
            others = "" if pid_file else LocalMasters(config_file).summary()
            if others:
                raise NoMasterError(
                    f"nobody holds pid file {place}, but masters run here: name one"
                    f" with --pid: {others}"
                )
            show_line(f"no master runs: nobody holds pid file {place}")
            return
    _report(stopped, now=now, timeout=timeout)


def _start(plan: DaemonPlan, timeout: float) -> None:
    pid = launcher.start(plan, timeout)
    workers = pluralize(plan.config.workers, "worker")
    silence = "" if plan.log_file else "; its log goes nowhere (see --log-file)"
    show_line(f"master {pid} runs, with {workers}{silence}")


def _report(stopped: StopResult, *, now: bool, timeout: float | None) -> None:
    if not stopped.has_ended:
        assert timeout is not None, "without one there is no end of waiting"
        remedy = "" if now else "; `resqued stop --now` ends its jobs"
        raise ControlError(
            f"master {stopped.pid} still runs after {show_seconds(timeout)}{remedy}"
        )
    show_line(f"master {stopped.pid} has stopped")
