"""A time limit for hooks that run in this process.

Runs in the child. SIGALRM raises TimeoutError in a hook that runs too long. A hook that
waits in C code, or that swallows the exception, takes no notice of that: a thread of
faulthandler, which needs no Python, then writes the stacks and ends the process.
"""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from resqued.hooks.job_hooks import Hook
from resqued.hooks.job_info import JobInfo

# For the exception to leave the hook, in seconds.
_PATIENCE = 1.0
_STDERR = 2


def run_limited(hooks: Sequence[Hook], job: JobInfo, seconds: float) -> None:
    """Run hooks that each may take some seconds; their exceptions are raised."""
    for hook in hooks:
        with time_limit(seconds, hook.name):
            hook.run(job)


@contextmanager
def time_limit(seconds: float, name: str) -> Iterator[None]:
    """Raise TimeoutError, which names the hook, in a block that runs for too long."""

    def expire(_signum: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"{name} ran for longer than its limit of {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    with suppress(ValueError, OSError):  # the application has closed the descriptor
        faulthandler.dump_traceback_later(seconds + _PATIENCE, exit=True, file=_STDERR)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, before)
