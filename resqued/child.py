"""The child: waits for a job, runs it, reports the outcome, and exits.

Runs in a child that its worker forked ahead. The child never returns to the code of
the worker, never uses the worker's connections, and needs Redis only if the job does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

from msgspec import Struct

from resqued.config.settings import AppSettings
from resqued.core.limits import UNSET, Cause
from resqued.core.redaction import arguments
from resqued.errors import (
    ExitCode,
    JobClassError,
    JobTerminated,
    JobTimeout,
    MemoryLimitExceeded,
    PayloadError,
)
from resqued.hooks import coroutines, interrupting, job_info, performing
from resqued.hooks.failed_job import HookedFailure, failed_job
from resqued.hooks.job_hooks import Hook, Hooks, hooks_of, registered
from resqued.hooks.time_limit import run_limited
from resqued.ipc.job_pipe import ChildEnd
from resqued.ipc.scoreboard import Scoreboard
from resqued.jobs.exceptions import describe
from resqued.jobs.lookup import parameters, resolve
from resqued.jobs.retrying import with_retry
from resqued.log import capture, logger
from resqued.log.flushing import flush
from resqued.system import prctl, process, process_title, signals
from resqued.system.signals import SignalInbox
from resqued.wire import payload, titles
from resqued.wire.payload import DIRTY_EXIT, MAX_ERROR, FailureInfo

# A child that has grown by more than this share of the job's memory limit takes no
# other job.
_GROWTH = 1 / 8

# The exception that SIGTERM raises inside a job.
_RAISED: dict[Cause, type[JobTerminated]] = {
    Cause.ORDER: JobTerminated,
    Cause.RUNTIME: JobTimeout,
    Cause.MEMORY: MemoryLimitExceeded,
}
_ORDER = Cause.ORDER
_OWN_FILES = (
    *(__file__, resolve.__code__.co_filename, hooks_of.__code__.co_filename),
    *(signals.__file__, performing.__file__, interrupting.__file__),
)

Stage = Literal["waiting", "performing", "interrupted", "over"]


class SignalReaction:
    """The effect of signals on a child, before, during and after its job.

    Inside the job, SIGTERM raises JobTerminated, once, or the exception for the cause
    on the scoreboard; SIGINT raises KeyboardInterrupt. Other signals have no effect:
    they are for workers and the master, and reach a child only if they are sent to all
    processes. QUIT in particular means that jobs may finish.
    """

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        # Set by the child at each step. A child that gets SIGTERM while it waits for a
        # job exits.
        self.stage: Stage = "waiting"
        # The pid of the child: processes that the job forks inherit the handler, but
        # signals have their default effect there.
        self.pid = 0
        # Whether SIGTERM came while the job's own code ran.
        self.was_told = False
        # Whether this child has run no job yet, so that hooks of its fork are due.
        self.is_fresh = True
        self._interruption = interrupting.Interruption()

    def __call__(self, signum: int) -> None:
        """React to a signal. Runs in the handler, between any two steps of the job."""
        if signum not in (signal.SIGTERM, signal.SIGINT):
            return
        if self.stage == "waiting" or (self.pid and os.getpid() != self.pid):
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        elif self.stage == "performing" and signum == signal.SIGINT:
            raise KeyboardInterrupt
        elif self.stage == "interrupted":
            # Not the cleanup of the job, which a second SIGTERM must not interrupt.
            self._interruption.insist()
        elif self.stage == "performing":
            self.stage = "interrupted"
            self.was_told = True
            cause, text = self._scoreboard.cause()
            reason = _RAISED[cause](text if text and cause is not _ORDER else "SIGTERM")
            self._interruption.begin(reason, signum)


class ChildContext(Struct, frozen=True):
    """The settings and properties that all children of a worker share."""

    parent: int
    worker: str
    settings: AppSettings
    scoreboard: Scoreboard
    # hot path: made-once
    # Whether processes that a job leaves behind are killed; the nice value; whether
    # resource limits are set; whether arguments of jobs are logged.
    sweeps: bool
    nice: int
    is_restrained: bool
    shows_arguments: bool
    # Whether numpy.random is imported: each child would draw the same numbers. Python
    # itself reseeds its own module after a fork.
    has_numpy: bool
    # The hooks of workers that run in the child, in this order.
    fork_hooks: tuple[Hook, ...]

    @classmethod
    def of(
        cls, parent: int, worker: str, settings: AppSettings, scoreboard: Scoreboard
    ) -> ChildContext:
        """Return the context for the children of a worker."""
        return cls(
            parent,
            worker,
            settings,
            scoreboard,
            sweeps=settings.sweeps,
            nice=settings.nice,
            is_restrained=settings.is_restrained,
            shows_arguments=logger.is_logged("job_begins", "debug"),
            has_numpy=sys.modules.get("numpy.random") is not None,
            fork_hooks=registered("before_fork") + registered("after_fork"),
        )


class ChildMain:
    """The main function of a child, the same for each child of a worker.

    `inbox` receives the signals of the worker; the child makes it use `reaction`.
    """

    def __init__(
        self, inbox: SignalInbox, reaction: SignalReaction, terms: ChildContext
    ) -> None:
        self._inbox = inbox
        self._reaction = reaction
        self._terms = terms

    def __call__(self, end: ChildEnd, foreign: Sequence[int]) -> int:
        """Close the descriptors in `foreign`, then run jobs.

        Runs in the child, with signals blocked at first. Returns the exit status.
        """
        self._reaction.pid = os.getpid()
        try:
            # hot path: close-by-number
            for fd in foreign:
                os.close(fd)
            self._inbox.react(self._reaction)
            _settle_in(self._terms)
            signals.unblock()
            return _serve(end, self._reaction, self._terms)
        except BaseException as error:
            return _fail(end, error, self._reaction, self._terms)


def _settle_in(terms: ChildContext) -> None:
    prctl.die_with_parent(terms.parent)
    process_title.set_title(titles.STANDBY)
    if terms.sweeps:
        # Processes that the job starts stay below this process, so that a cheap check
        # shows whether any are left.
        prctl.become_subreaper()
    if terms.nice:
        # Master and worker run before the processes of a job, however many it starts.
        # The child sets this, because a worker could not undo a lower priority.
        os.nice(terms.nice)
    if terms.is_restrained:
        settings = terms.settings
        process.apply_rlimits(settings.open_files, settings.core_size)
    if terms.has_numpy:
        sys.modules["numpy.random"].seed()


def _serve(end: ChildEnd, reaction: SignalReaction, terms: ChildContext) -> int:
    """Run jobs until the worker sends no more, or this child may take no other."""
    for left in range(terms.settings.jobs_per_child - 1, -1, -1):
        try:
            job = end.wait_for_job(is_last=left == 0)
        except OSError:
            return 1
        if job is None:
            return 0
        if not _perform(end, reaction, job, terms, may_stay=left > 0):
            break
        reaction.stage = "waiting"
        process_title.set_title(titles.STANDBY)
    flush()
    return 0


def _fail(
    end: ChildEnd, error: BaseException, reaction: SignalReaction, terms: ChildContext
) -> int:
    """Report an error outside the job's own code; return the exit status.

    A tracer or a signal handler that the job has set can cause such an error.
    """
    reaction.stage = "over"
    is_forked_by_job = os.getpid() != reaction.pid
    # A worker that dies closes its pipes a moment before its children are killed.
    is_orphan = isinstance(error, BrokenPipeError) or os.getppid() != terms.parent
    if is_forked_by_job or is_orphan:
        return int(ExitCode.INTERNAL)
    found = describe(error, _OWN_FILES)
    text = f"the child failed outside the code of its job: {found.exception}"
    if found.error:
        text = f"{text}: {found.error}"
    with suppress(BaseException):
        logger.get(role="child", pid=os.getpid(), worker=terms.worker).error(
            "child_failed", error=text[:MAX_ERROR], exc_info=error
        )
    with suppress(OSError):  # only the exit status can be reported
        end.tell(FailureInfo(DIRTY_EXIT, text, found.backtrace))
    return int(ExitCode.INTERNAL)


def _perform(
    end: ChildEnd,
    reaction: SignalReaction,
    job: tuple[bytes, bytes, bytes],
    terms: ChildContext,
    *,
    may_stay: bool,
) -> bool:
    """Run the job and report its outcome; return True if another may follow."""
    me = os.getpid()
    before = process.resident(me) if may_stay else 0
    if job[2] or may_stay:
        job_info.note_attempt(job[2])
    failed = _attempt(reaction, *job[:2], terms)
    if os.getpid() != me:
        # This is a process that the job has forked; only the child itself reports
        # the outcome.
        os._exit(0)
    fault, retry = (failed.fault, failed.retry) if failed else (None, None)
    has_hooks = failed is not None and failed.hooks is not None
    # Hooks that are still to run may leave processes behind as well.
    has_left = terms.sweeps and (has_hooks or process.has_children())
    # A child whose fork hooks have failed is not prepared for another job.
    is_unprepared = reaction.is_fresh and bool(terms.fork_hooks)
    stays = may_stay and not (
        has_left or has_hooks or is_unprepared or reaction.was_told
    )
    # Memory that one job keeps must not count for the next one.
    stays = stays and end.is_whole() and not _has_grown(before, terms.scoreboard)
    if stays:
        flush()
        # The limits of this job must not apply to the next one.
        terms.scoreboard.limit(0, UNSET)
    end.tell(fault, has_left=has_left, stays=stays, retry=retry)
    if failed is not None:
        failed.run_hooks()
    return stays


def _has_grown(before: int, scoreboard: Scoreboard) -> bool:
    """Return True if this child has grown by too much of its job's memory limit.

    `before` is the resident memory before the job, in bytes.
    """
    me = os.getpid()
    limits = scoreboard.limits_of(me)
    allowed = limits.memory if limits else 0
    return bool(allowed) and process.resident(me) - before > _GROWTH * (allowed or 0)


def _attempt(
    reaction: SignalReaction, queue: bytes, raw: bytes, terms: ChildContext
) -> HookedFailure | None:
    """Run the job; return why it failed, or None.

    Every exception of the application's code is caught here.
    """
    hooks = None
    try:
        job, name, title = _read(queue, raw)
        process_title.set_title(title)
        capture.set_context(_about, name, job, terms)
        target, declared, hooks = resolve(job.class_name, terms.settings.modules)
        limits = terms.settings.rules.of(
            name, job.class_name, declared=declared, asked=job.limits
        )
        # The CPU seconds of earlier jobs, if this child may run several.
        used = sum(os.times()[:4]) if terms.settings.jobs_per_child > 1 else 0.0
        terms.scoreboard.limit(os.getpid(), limits, used)
        if terms.shows_arguments:
            _tell_arguments(target, job, name, terms)
        reaction.stage = "performing"
        if hooks is not None or terms.fork_hooks:
            _perform_with_hooks(hooks, target, reaction, terms)
        elif (result := target(*job.args)) is not None:
            coroutines.finish(result)
        reaction.stage = "over"
    except PayloadError as error:
        reaction.stage = "over"
        return HookedFailure(FailureInfo(payload.PAYLOAD_ERROR, str(error)))
    except BaseException as error:
        reaction.stage = "over"
        if isinstance(error, JobClassError):
            # No job of the application, perhaps: the hooks for all jobs run.
            hooks = hooks or hooks_of(None)
        failed = failed_job(describe(error, _OWN_FILES), hooks, error)
        return with_retry(failed, error, terms.settings.modules, terms.settings.retries)
    return None


def _perform_with_hooks(
    hooks: Hooks | None,
    target: Callable[..., Any],
    reaction: SignalReaction,
    terms: ChildContext,
) -> None:
    """Run the job with its hooks, after those of the fork if it is the first one."""
    job = job_info.current_job()
    assert job is not None, "it runs"
    if reaction.is_fresh:
        run_limited(terms.fork_hooks, job, terms.settings.timings.hook_limit)
        reaction.is_fresh = False

    def run() -> None:
        if (result := target(*job.args)) is not None:
            coroutines.finish(result)

    performing.perform(hooks or {}, run, job)


def _read(queue: bytes, raw: bytes) -> tuple[payload.Payload, str, str]:
    """Return the job, its queue, and the title of the process that runs it."""
    job = payload.decode_job(raw)
    if reason := payload.refusal(job):
        raise PayloadError(reason)
    name = queue.decode("utf-8", "replace")
    return job, name, titles.processing(name, job.class_name, time.time())


def _about(queue: str, job: payload.Payload, terms: ChildContext) -> dict[str, object]:
    """Return the fields that every line of a job's log has."""
    return {
        "role": "child",
        "pid": os.getpid(),
        "worker": terms.worker,
        "generation": terms.settings.generation,
        "queue": queue,
        "job_class": payload.shown_name(job.class_name),
    }


def _tell_arguments(
    target: Callable[..., Any], job: payload.Payload, queue: str, terms: ChildContext
) -> None:
    """Log the arguments of the job, except those that the configuration redacts."""
    shown = arguments(parameters(target), job.args, terms.settings.redact)
    about = _about(queue, job, terms)
    logger.get(**about).debug("job_begins", args=shown)
