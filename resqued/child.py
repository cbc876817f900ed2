"""One job, in a process of its own: wait for it, run it, tell how it went, leave.

Runs in a child that its worker forked ahead. Never returns to the worker's code,
never touches the worker's connections, and needs Redis only if the job does.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from resqued.config.settings import AppSettings
from resqued.core.limits import UNSET, Cause
from resqued.core.redaction import arguments
from resqued.errors import (
    ExitCode,
    JobTerminated,
    JobTimeout,
    MemoryLimitExceeded,
    PayloadError,
)
from resqued.ipc.job_pipe import ChildEnd
from resqued.ipc.scoreboard import Scoreboard
from resqued.jobs import coroutines
from resqued.jobs.exceptions import describe
from resqued.jobs.lookup import parameters, resolve
from resqued.log import capture, logger
from resqued.system import prctl, process, process_title, signals
from resqued.system.signals import SignalInbox
from resqued.wire import payload, titles
from resqued.wire.payload import (
    DIRTY_EXIT,
    MAX_ERROR,
    FailureInfo,
)

# A child that has kept so much of its job's memory limit takes no other job.
_GROWTH = 1 / 8

# What SIGTERM raises inside a job.
_RAISED: dict[Cause, type[JobTerminated]] = {
    Cause.ORDER: JobTerminated,
    Cause.RUNTIME: JobTimeout,
    Cause.MEMORY: MemoryLimitExceeded,
}
_ORDER = Cause.ORDER
_OWN_FILES = (__file__, resolve.__code__.co_filename, signals.__file__)


Stage = Literal["waiting", "performing", "over"]


class SignalReaction:
    """What a signal does to a child: before, during and after its job.

    SIGTERM becomes JobTerminated inside the job, once, or what the board says it is
    for; SIGINT KeyboardInterrupt. All others are for workers and the master:
    somebody sent them to all, and QUIT in particular means to let jobs finish.
    """

    def __init__(self, scoreboard: Scoreboard) -> None:
        self._scoreboard = scoreboard
        # Set step by step by the child. Who is told to terminate while it waits for
        # a job just leaves.
        self.stage: Stage = "waiting"
        # The child: what its job forks inherits the handler, not its meaning.
        self.pid = 0
        # To terminate, while the job's own code ran.
        self.was_told = False
        # Of a job that is a coroutine: what cancels it, and why that was called.
        self.cancel: Callable[[], None] | None = None
        self.cancelled_for: JobTerminated | None = None

    def __call__(self, signum: int) -> None:
        """React, in the handler: called between any two steps of the job."""
        if signum not in (signal.SIGTERM, signal.SIGINT):
            return
        if self.stage == "waiting" or (self.pid and os.getpid() != self.pid):
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        elif self.stage == "performing" and signum == signal.SIGINT:
            raise KeyboardInterrupt
        elif self.stage == "performing":
            # A second one must not hit the job's cleaning up.
            self.stage = "over"
            self.was_told = True
            cause, text = self._scoreboard.cause()
            reason = _RAISED[cause](text if text and cause is not _ORDER else "SIGTERM")
            if self.cancel is None:
                raise reason
            self.cancelled_for = reason
            self.cancel()

    def cancel_by(self, cancel: Callable[[], None]) -> None:
        """Have SIGTERM call `cancel` from now on."""
        self.cancel = cancel


@dataclass(frozen=True, slots=True)
class ChildContext:
    """On what terms a worker's children live: the same for each of them."""

    parent: int
    worker: str
    settings: AppSettings
    scoreboard: Scoreboard
    # hot path: made-once
    # What jobs leave behind is killed; they have fewer resources than their worker;
    # their arguments are logged (job_begins).
    sweeps: bool
    nice: int
    is_restrained: bool
    shows_arguments: bool
    # numpy.random is there, whose numbers a fork would repeat; Python sees to its
    # own module.
    has_numpy: bool

    @classmethod
    def of(
        cls, parent: int, worker: str, settings: AppSettings, scoreboard: Scoreboard
    ) -> ChildContext:
        """Return the terms that settings and application mean for a worker."""
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
        )


class ChildMain:
    """The whole of a child's life, the same for each child of a worker.

    `inbox` is where the worker's own signals wait.
    """

    def __init__(
        self, inbox: SignalInbox, reaction: SignalReaction, terms: ChildContext
    ) -> None:
        self._inbox = inbox
        self._reaction = reaction
        self._terms = terms

    def __call__(self, end: ChildEnd, foreign: Sequence[int]) -> int:
        """Run in the child, with signals blocked: close what is not for it, then live.

        Returns the exit status.
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
        # What the job starts stays below this process, so that it can see
        # cheaply whether anything is left.
        prctl.become_subreaper()
    if terms.nice:
        # However many processes a job starts, master and worker run before them. From
        # the child: its worker could not take a lower priority back.
        os.nice(terms.nice)
    if terms.is_restrained:
        settings = terms.settings
        process.apply_rlimits(settings.open_files, settings.core_size)
    if terms.has_numpy:
        sys.modules["numpy.random"].seed()


def _serve(end: ChildEnd, reaction: SignalReaction, terms: ChildContext) -> int:
    """Run jobs, one after the other, until there are none or it has had enough."""
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
        reaction.cancelled_for = None
        process_title.set_title(titles.STANDBY)
    _flush()
    return 0


def _fail(
    end: ChildEnd, error: BaseException, reaction: SignalReaction, terms: ChildContext
) -> int:
    """Say what failed in the child beside its job; return the exit status.

    So does a tracer that the job has set, or a signal handler of its own.
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
    with suppress(OSError):  # the exit status is what is left to say
        end.tell(FailureInfo(DIRTY_EXIT, text, found.backtrace))
    return int(ExitCode.INTERNAL)


def _perform(
    end: ChildEnd,
    reaction: SignalReaction,
    job: tuple[bytes, bytes],
    terms: ChildContext,
    *,
    may_stay: bool,
) -> bool:
    """Run the job, tell the worker how it went, answer whether to take another."""
    me = os.getpid()
    before = process.resident(me) if may_stay else 0
    fault = _attempt(reaction, *job, terms)
    if os.getpid() != me:
        # The job forked, and this is the process that it forked: the outcome is
        # not this one's to tell.
        os._exit(0)
    has_left = terms.sweeps and process.has_children()
    stays = may_stay and not has_left and not reaction.was_told
    # What one job keeps must not count for the next.
    stays = stays and end.is_whole() and not _has_grown(before, terms.scoreboard)
    if stays:
        _flush()
        # Nor do its limits hold for the next, before that has said its own.
        terms.scoreboard.limit(0, UNSET)
    end.tell(fault, has_left=has_left, stays=stays)
    return stays


def _has_grown(before: int, scoreboard: Scoreboard) -> bool:
    """Return True if this child has grown by much of what its job was allowed."""
    me = os.getpid()
    limits = scoreboard.limits_of(me)
    allowed = limits.memory if limits else 0
    return bool(allowed) and process.resident(me) - before > _GROWTH * (allowed or 0)


def _attempt(
    reaction: SignalReaction, queue: bytes, raw: bytes, terms: ChildContext
) -> FailureInfo | None:
    """Run the job; return why it failed, or None.

    The boundary of the application's code: every exception of it is caught.
    """
    try:
        job, name, title = _read(queue, raw)
        process_title.set_title(title)
        capture.set_context(_about, name, job.class_name, terms)
        target, declared = resolve(job.class_name, terms.settings.modules)
        limits = terms.settings.rules.of(
            name, job.class_name, declared=declared, asked=job.limits
        )
        # Earlier jobs, if this child has had any.
        used = sum(os.times()[:4]) if terms.settings.jobs_per_child > 1 else 0.0
        terms.scoreboard.limit(os.getpid(), limits, used)
        if terms.shows_arguments:
            _tell_arguments(target, job, name, terms)
        reaction.stage = "performing"
        if (result := target(*job.args)) is not None:
            _finish(result, reaction)
        reaction.stage = "over"
    except PayloadError as error:
        reaction.stage = "over"
        return FailureInfo(payload.PAYLOAD_ERROR, str(error))
    except BaseException as error:
        reaction.stage = "over"
        return describe(error, _OWN_FILES)
    return None


def _finish(result: object, reaction: SignalReaction) -> None:
    """Run what an `async def` returned. Raises what it raises.

    An event loop lets no exception out of a callback, so SIGTERM cancels the job.
    """
    try:
        coroutines.finish(result, reaction.cancel_by)
    except BaseException as error:
        if reaction.cancelled_for is None:
            raise
        raise reaction.cancelled_for from error
    finally:
        reaction.cancel = None


def _read(queue: bytes, raw: bytes) -> tuple[payload.Payload, str, str]:
    """Return the job, its queue, and the title of the process that runs it."""
    job = payload.decode_job(raw)
    if reason := payload.refusal(job):
        raise PayloadError(reason)
    name = queue.decode("utf-8", "replace")
    return job, name, titles.processing(name, job.class_name, time.time())


def _about(queue: str, class_name: str, terms: ChildContext) -> dict[str, object]:
    """Return what every line of the log says of a job."""
    return {
        "role": "child",
        "pid": os.getpid(),
        "worker": terms.worker,
        "generation": terms.settings.generation,
        "queue": queue,
        "job_class": payload.shown_name(class_name),
    }


def _tell_arguments(
    target: Callable[..., Any], job: payload.Payload, queue: str, terms: ChildContext
) -> None:
    """Log what the job was given, without what the configuration calls secret."""
    shown = arguments(parameters(target), job.args, terms.settings.redact)
    about = _about(queue, job.class_name, terms)
    logger.get(**about).debug("job_begins", args=shown)


def _flush() -> None:
    """Write out what the job left in buffers.

    The worker has the outcome already and kills a child that hangs here.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # closed or broken by the job: nowhere to say so
    capture.finish()
    for reference in logging._handlerList[:]:  # type: ignore[attr-defined]
        handler = reference()
        try:
            # The last resort is a name for sys.stderr.
            if handler is not None and handler is not logging.lastResort:
                handler.flush()
        except Exception:  # noqa: S112 - handlers are the application's code
            continue
