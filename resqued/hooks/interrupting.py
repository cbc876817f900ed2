"""Ends the code of a job by an exception that a signal handler raises.

Runs in the child. An event loop takes a step from its queue, and then runs it. If the
exception comes in between, the step is lost: its task waits for ever, and with it
`asyncio.run`, which cancels all tasks and waits for their end. So a loop that runs in
this thread does what `asyncio.run` does for SIGINT: it cancels the task that it runs
until its end, and raises the exception after that. A step that blocks keeps the loop
from this, and is then interrupted after all.
"""

from __future__ import annotations

import _thread
import asyncio
import signal
import sys
import time
from types import FrameType
from typing import Any

# For the loop to get to its next step, in seconds.
_PATIENCE = 0.5
# The functions that run a loop until something has ended, and what they call that. The
# second one is that of other loops than asyncio's, which are not written in Python.
_RUNS = {
    asyncio.BaseEventLoop.run_until_complete.__code__: "future",
    asyncio.Runner.run.__code__: "task",
}


class Interruption:
    """Raises one exception in the code that a signal interrupts, or soon after.

    It must be a SystemExit or a KeyboardInterrupt: event loops log every other
    exception, and go on.
    """

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def begin(self, error: BaseException, signum: int) -> None:
        """Raise an exception here, or have the loop raise it.

        If the loop does not get to that, this process gets the signal once more, whose
        handler calls `insist`.
        """
        if (loop := running_loop()) is None:
            raise error
        self._error = error
        # It also ends the wait of the loop for its next event.
        loop.call_soon_threadsafe(self._cancel, _awaited(sys._getframe()))
        # Not threading.Thread, of which the interrupted code may hold the lock.
        _thread.start_new_thread(self._remind, (_thread.get_ident(), signum))

    def insist(self) -> None:
        """Raise the exception here, if the loop has not got to it."""
        if (error := self._take()) is not None:
            raise error

    def _take(self) -> BaseException | None:
        error, self._error = self._error, None
        return error

    def _cancel(self, awaited: asyncio.Future[Any] | None) -> None:
        """Cancel what the loop runs until its end; runs in the loop."""
        if (error := self._take()) is None:
            return
        if awaited is None or awaited.done():
            raise error

        def leave(ended: asyncio.Future[Any]) -> None:
            try:
                ended.result()
            except BaseException as cause:
                # Where it ended, without this line.
                own = cause.__traceback__
                raise error from cause.with_traceback(own and own.tb_next)
            raise error

        awaited.add_done_callback(leave)
        awaited.cancel()

    def _remind(self, thread: int, signum: int) -> None:
        time.sleep(_PATIENCE)
        if self._error is not None:
            signal.pthread_kill(thread, signum)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _awaited(frame: FrameType | None) -> asyncio.Future[Any] | None:
    """Return what the loop runs until its end; None if it runs for ever."""
    while frame is not None:
        if name := _RUNS.get(frame.f_code):
            found = frame.f_locals.get(name)
            return found if asyncio.isfuture(found) else None
        frame = frame.f_back
    return None
