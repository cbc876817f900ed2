"""Requests to a running master: pause, resume, scale, drain, reload, kill, stack.

Each goes through the control socket and is answered by the master, so that what is
printed has happened. Every order is logged there, with who sent it.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import click

from resqued.cli.masters import job_in_words, master_options
from resqued.cli.options import Duration, confirm, yes_option
from resqued.cli.table import show_line
from resqued.cli.text import clip
from resqued.core.durations import show_seconds
from resqued.core.plural import pluralize
from resqued.diagnostics.local_masters import LocalMasters, Master, ReplyWait
from resqued.diagnostics.pool_view import PoolWorker, why_it_waits
from resqued.diagnostics.stack_frames import without_own_frames
from resqued.errors import ControlError

F = TypeVar("F", bound=Callable[..., object])

PAUSE_EXAMPLES = """
\b
Examples:
  resqued pause
  resqued resume --pid 4711
"""
SCALE_EXAMPLES = """
\b
Examples:
  resqued scale 8
  resqued scale +2
  resqued scale -1
  resqued scale critical,high -1
  resqued scale '*' -- -1
"""
RELOAD_EXAMPLES = """
\b
Examples:
  resqued reload
  resqued reload --wait && echo the new code is on
  resqued reload --no-wait
"""
DRAIN_EXAMPLES = """
\b
Examples:
  resqued drain --wait
  resqued drain --wait --timeout 5m
  resqued resume
"""
REOPEN_EXAMPLES = """
\b
Examples:
  mv resqued.log resqued.log.1 && resqued reopen
"""
KILL_EXAMPLES = """
\b
Examples:
  resqued kill 4713
  resqued kill web1:4711:critical,high
  resqued kill --older-than 10m
"""
STACK_EXAMPLES = """
\b
Examples:
  resqued stack 4711
  resqued stack web1:4711:critical,high
"""
_COUNT = re.compile(r"[+-]?[0-9]{1,9}")
# More than fits a question.
_MOST_NAMED = 5


def _wait_options(text: str, *, negation: str = "") -> Callable[[F], F]:
    """Add --wait and --timeout; a `negation` makes --wait the default at a terminal."""

    def add(function: F) -> F:
        function = click.option(
            "--timeout",
            metavar="TIME",
            type=Duration(),
            help="With --wait: give up after this time, such as 30s or 5m; 1 then.",
        )(function)
        if negation:
            return click.option(
                f"--wait{negation}",
                default=None,
                show_default="--wait at a terminal",
                help=text,
            )(function)
        return click.option("--wait", is_flag=True, help=text)(function)

    return add


def _reply_wait(
    timeout: float | None, *, waits: bool, for_jobs: bool = False
) -> ReplyWait | None:
    """Return how to wait for a reply; what it waits for goes to standard error."""
    if timeout is not None and not waits:
        raise click.UsageError("--timeout needs --wait.")
    if not waits:
        return None
    return ReplyWait(
        math.inf if timeout is None else timeout,
        partial(why_it_waits, for_jobs=for_jobs),
        lambda reason: click.echo(f"resqued: waiting: {reason}", err=True),
    )


@click.command(epilog=PAUSE_EXAMPLES)
@master_options
def pause(meant: LocalMasters) -> None:
    """Let the workers of this host take no new jobs.

    Running jobs continue. The same as SIGUSR2 to the master.
    """
    master = meant.only()
    master.pause()
    show_line(f"master {master.pid} is paused; `resqued resume` resumes it")


@click.command(epilog=PAUSE_EXAMPLES)
@master_options
def resume(meant: LocalMasters) -> None:
    """Let the workers of this host take jobs again.

    Ends `resqued pause` and `resqued drain`.
    """
    master = meant.only()
    master.resume()
    show_line(f"master {master.pid} takes jobs")


# An option that is not known is an argument: -1 is meant to be one.
@click.command(epilog=SCALE_EXAMPLES, context_settings={"ignore_unknown_options": True})
@click.argument("queues", nargs=-1, metavar="[QUEUES]")
@click.argument("count", metavar="N|+N|-N")
@master_options
def scale(queues: tuple[str, ...], count: str, meant: LocalMasters) -> None:
    """Have N workers, N more or N fewer, until the next reload.

    A restart ends it too.

    QUEUES is the queue list of the pool that is meant, as `resqued status` shows
    it, and -N its namespace if several have this list; a master with one pool needs
    neither. A worker that is to go finishes its job first.
    """
    for word in queues:
        if word.startswith("-"):
            raise click.NoSuchOption(word)
    if len(queues) > 1:
        raise click.UsageError(
            "One queue list only, with commas and no spaces, and quoted if it has a *."
        )
    if not _COUNT.fullmatch(count):
        raise click.UsageError(f"{count!r} is not N, +N or -N, such as 4, +1 or -1.")
    master = meant.only()
    found = master.scale(queues[0] if queues else None, count, meant.namespace)
    wanted = pluralize(found.workers, "worker")
    show_line(f"{found.queues}: {wanted}, before {found.before}")


@click.command(epilog=DRAIN_EXAMPLES)
@_wait_options("Return when no job runs any more.")
@master_options
def drain(wait: bool, timeout: float | None, meant: LocalMasters) -> None:
    """Take no new jobs, and let the running ones finish.

    The master and its workers stay, paused, until `resqued resume`.
    """
    reply_wait = _reply_wait(timeout, waits=wait, for_jobs=True)
    master = meant.only()
    if wait:
        master.drain(reply_wait)
        show_line(f"master {master.pid} is paused, and no job runs")
        return
    master.drain()
    jobs = master.view().jobs
    run = "runs" if jobs == 1 else "run"
    show_line(f"master {master.pid} is paused; {pluralize(jobs, 'job')} still {run}")


@click.command(epilog=RELOAD_EXAMPLES)
@_wait_options(
    "Return when every worker is of the new generation; 1 if that failed.",
    negation="/--no-wait",
)
@click.option(
    "--master",
    "with_master",
    is_flag=True,
    help="Replace the master's own program first, in place; waits.",
)
@master_options
def reload(
    wait: bool | None, timeout: float | None, with_master: bool, meant: LocalMasters
) -> None:
    """Load configuration and application, and replace the workers.

    Running jobs finish in their old workers. If the new generation cannot start,
    the old one stays in use. With --no-wait the same as SIGHUP.

    --master is for a new version of resqued, or of Python: after a dry run of it the
    master becomes that, with the same pid and workers. No job is interrupted.
    """
    is_seen = sys.stdout.isatty()
    waits = is_seen if wait is None else wait
    reply_wait = _reply_wait(timeout, waits=waits or with_master)
    master = meant.only()
    if reply_wait is None:
        number = master.reload()
        show_line(
            f"master {master.pid} starts generation {number};"
            " `resqued status` says what came of it"
        )
        return
    if is_seen:
        show_line(f"master {master.pid} reloads; Ctrl-C only ends the wait for that")
    # What is refused here is the reload itself: the old generation stays.
    number = master.reload(reply_wait, program=with_master)
    program = "runs its new program and " if with_master else ""
    show_line(f"master {master.pid} {program}has moved to generation {number}")


@click.command(epilog=REOPEN_EXAMPLES)
@master_options
def reopen(meant: LocalMasters) -> None:
    """Open the log file again, after it was renamed.

    Master, zygote and workers continue in a new file of the same name. A running job
    writes to the old file until it ends.
    """
    master = meant.only()
    master.reopen_log()
    show_line(f"master {master.pid} has opened its log file again")


@click.command(epilog=STACK_EXAMPLES)
@click.argument("worker", metavar="WORKER|PID")
@click.option("--all", "is_all", is_flag=True, help="Show the frames of resqued too.")
@master_options
def stack(worker: str, is_all: bool, meant: LocalMasters) -> None:
    """Print the Python stacks of the job of a worker.

    The stacks are those of all threads.

    WORKER is an id as `resqued status` shows it; or say the pid of the worker or
    of its child. The job continues. A call into C that does not return is shown
    as well.
    """
    master = meant.with_worker(worker)
    found = master.stack(worker)
    show_line(f"child {found.child} of worker {found.worker}:")
    lines = found.stack if is_all else without_own_frames(found.stack)
    for line in lines:
        show_line(line)
    if left_out := len(found.stack) - len(lines):
        frames = pluralize(left_out, "frame")
        show_line(f"({frames} of resqued below the job: --all shows them)")


# Ending jobs


@click.command(epilog=KILL_EXAMPLES)
@click.argument("worker", metavar="WORKER|PID", required=False)
@click.option(
    "--older-than",
    metavar="TIME",
    type=Duration(),
    help="End each job that has run for longer than this: 90s, 10m, 2h.",
)
@yes_option
@master_options
def kill(
    worker: str | None,
    older_than: float | None,
    yes: bool,
    meant: LocalMasters,
) -> None:
    """End the job of a worker, or all that have run for too long.

    WORKER is an id as `resqued status` shows it; or say the pid of the worker or
    of its child. The job and all processes that it has started get SIGTERM, and
    SIGKILL after the grace. It is recorded as failed, with the user who ended it.
    The worker continues. Asks first if more than one job would end.
    """
    if (worker is None) == (older_than is None):
        raise click.UsageError("Name a worker, or say --older-than TIME.")
    if worker is not None:
        master = meant.with_worker(worker)
        ended = master.end_job(worker)
    else:
        assert older_than is not None, "one of both is given"
        master = meant.only()
        ended = _kill_older(master, older_than, yes=yes)
    for each in ended:
        show_line(f"ending {job_in_words(each)} (worker {each.id}, child {each.child})")


def _kill_older(master: Master, age: float, *, yes: bool) -> Sequence[PoolWorker]:
    """End what is shown to be so old, and nothing that has become so meanwhile."""
    old = master.view().running_longer_than(age)
    if not old:
        show_line(f"no job has run for longer than {show_seconds(age)}")
        return []
    if len(old) > 1:
        names = "; ".join(map(job_in_words, old[:_MOST_NAMED]))
        more = "; …" if len(old) > _MOST_NAMED else ""
        confirm(f"End {len(old)} jobs ({clip(names, 400)}{more})?", yes=yes)
    ended = master.end_jobs(old, older_than=age)
    if not ended:
        raise ControlError("the jobs had ended by themselves meanwhile")
    return ended
