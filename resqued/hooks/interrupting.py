"""Ends the code of a job by an exception that a signal handler raises.

Runs in the child. An event loop takes a step from its queue, and then runs it. If the
exception comes in between, the step is lost: its task waits for ever, and with it
`asyncio.run`, which cancels all tasks and waits for their end. So a loop that runs in
this thread is asked to raise the exception itself, between two steps. A step that
blocks keeps it from that, and is then interrupted after all.
"""

from __future__ import annotations

import _thread
import asyncio
import signal
import threading
import time
from collections.abc import Callable

# For the loop to get to its next step, in seconds.
_PATIENCE = 0.5


class Interruption:
    """Raises one exception in the code that a signal interrupts, or soon after.

    It must be a SystemExit or a KeyboardInterrupt: event loops log every other
    exception, and go on.
    """

    def __init__(self) -> None:
        self._error: BaseException | None = None

    def begin(
        self,
        error: BaseException,
        signum: int,
        cancel: Callable[[], object] | None = None,
    ) -> None:
        """Raise an exception here, or have the loop raise it, or call `cancel` instead.

        If the loop does not get to that, this process gets the signal once more, whose
        handler calls `insist`.
        """
        self._error = error
        if (loop := _running_loop()) is None:
            self.insist()
            return

        def interrupt() -> None:
            if cancel is None:
                self.insist()
            elif self._error is not None:
                self._error = None
                cancel()

        # It also ends the wait of the loop for its next event.
        loop.call_soon_threadsafe(interrupt)
        # Not threading.Thread, of which the interrupted code may hold the lock.
        _thread.start_new_thread(self._remind, (signum,))

    def insist(self) -> None:
        """Raise the exception here, unless it has been raised."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _remind(self, signum: int) -> None:
        time.sleep(_PATIENCE)
        if self._error is not None:
            signal.pthread_kill(threading.main_thread().ident or 0, signum)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
