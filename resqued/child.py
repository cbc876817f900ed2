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
import traceback
from collections.abc import Collection
from contextlib import suppress

from resqued import process, signals
from resqued.core import payload, titles
from resqued.core.payload import MAX_BACKTRACE, MAX_ERROR, TERM_EXCEPTION, Fault
from resqued.errors import JobClassError, JobTerminated, PayloadError
from resqued.handover import ChildEnd, WorkerEnd
from resqued.job import resolve

# Python specialises code at its eighth run or so.
_REHEARSALS = 16

_OWN_FILES = (__file__, resolve.__code__.co_filename, signals.__file__)


class Reaction:
    """What a signal does to a child: before, during and after its job.

    SIGTERM becomes JobTerminated inside the job, once; SIGINT KeyboardInterrupt.
    All others are for workers and the master: somebody sent them to all, and QUIT
    in particular means to let jobs finish.
    """

    def __init__(self) -> None:
        self._is_waiting = True
        self._is_performing = False

    def begin(self) -> None:
        """The job's own code runs from now on."""
        self._is_waiting = False
        self._is_performing = True

    def end(self) -> None:
        """It runs no more."""
        self._is_waiting = self._is_performing = False

    def __call__(self, signum: int) -> None:
        """React, in the handler: called between any two steps of the job."""
        if signum not in (signal.SIGTERM, signal.SIGINT):
            return
        if self._is_waiting:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        elif self._is_performing and signum == signal.SIGINT:
            raise KeyboardInterrupt
        elif self._is_performing:
            # A second one must not hit the job's cleaning up.
            self._is_performing = False
            raise JobTerminated("SIGTERM")


def run(
    end: ChildEnd, reaction: Reaction, *, parent: int, modules: Collection[str]
) -> int:
    """Run in the child, with signals blocked: the whole of its life."""
    process.die_with_parent(parent)
    process.set_title(titles.STANDBY)
    signals.unblock()
    try:
        job = end.wait_for_job()
    except OSError:
        return 1
    if job is None:
        return 0
    _perform(end, reaction, *job, modules)
    _flush()
    return 0


def _perform(
    end: ChildEnd,
    reaction: Reaction,
    queue: bytes,
    raw: bytes,
    modules: Collection[str],
) -> None:
    """Run the job and tell the worker how it went."""
    me = os.getpid()
    fault = _attempt(reaction, queue, raw, modules)
    if os.getpid() != me:
        # The job forked, and this is the process that it forked: the outcome is
        # not this one's to tell.
        os._exit(0)
    end.tell(fault)


def _attempt(
    reaction: Reaction, queue: bytes, raw: bytes, modules: Collection[str]
) -> Fault | None:
    """Run the job; answer why it failed, or None.

    The boundary of the application's code: whatever comes out of it is caught.
    """
    try:
        job, title = _read(queue, raw)
        process.set_title(title)
        _reseed()
        target = resolve(job.class_name, modules)
        reaction.begin()
        target(*job.args)
        reaction.end()
    except PayloadError as error:
        reaction.end()
        return Fault(payload.PAYLOAD_ERROR, str(error))
    except BaseException as error:
        reaction.end()
        return _describe(error)
    return None


def _read(queue: bytes, raw: bytes) -> tuple[payload.Payload, str]:
    """Return the job, and the title of the process that runs it."""
    job = payload.decode_job(raw)
    name = queue.decode("utf-8", "replace")
    return job, titles.processing(name, job.class_name, time.time())


def rehearse() -> None:
    """Go through what surrounds a job, in the zygote, before there is any child.

    A child runs each line once, and cold. What Python and the loader work out at
    first runs (specialised code, caches, symbols) each child would work out anew,
    on pages that are copied for it.
    """
    for _ in range(_REHEARSALS):
        down, up = os.pipe(), os.pipe()
        worker, end = WorkerEnd(down[1], up[0]), ChildEnd(down[0], up[1])
        worker.give(b"rehearsal", b'{"class":"Rehearsal","args":[]}')
        job = end.wait_for_job()
        assert job is not None, "it was given a moment ago"
        _read(*job)
        with suppress(JobClassError):
            resolve("Rehearsal", ())
        end.tell(None)
        worker.receive()
        worker.close()
        for fd in (down[0], up[1]):
            os.close(fd)
        _flush()


def _reseed() -> None:
    """Give the child random numbers of its own; Python sees to its own module."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _describe(error: BaseException) -> Fault:
    """Return what people read of an exception, whatever its methods do."""
    kind = type(error)
    if isinstance(error, JobTerminated):
        name, text = TERM_EXCEPTION, "SIGTERM"
    else:
        home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
        name, text = f"{home}{kind.__qualname__}", _text(error)
    # A message of megabytes has no business in a pipe (payload.failure cuts
    # again, and says so).
    return Fault(name, text[: 2 * MAX_ERROR], tuple(_backtrace(error)))


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as trouble:
        return f"({type(error).__name__}.__str__ raised {type(trouble).__name__})"
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r})"
    return text or type(error).__name__


def _backtrace(error: BaseException) -> list[str]:
    """Return Python's traceback in lines, without our own frames."""
    try:
        told = traceback.TracebackException.from_exception(error)
        told.stack = traceback.StackSummary.from_list(
            frame for frame in told.stack if frame.filename not in _OWN_FILES
        )
        text = "".join(told.format())
    except Exception as trouble:
        return [f"(no traceback: {type(trouble).__name__})"]
    lines = text.splitlines()
    return lines if len(text) <= 4 * MAX_BACKTRACE else [*lines[:500], *lines[-500:]]


def _flush() -> None:
    """Write out what the job left in buffers.

    The worker has the outcome already and kills a child that hangs here.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # closed or broken by the job: nowhere to say so
    for reference in logging._handlerList[:]:  # type: ignore[attr-defined]
        handler = reference()
        try:
            if handler is not None:
                handler.flush()
        except Exception:  # noqa: S112 - handlers are the application's code
            continue
