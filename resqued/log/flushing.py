"""What a process has to write before it exits: its streams, and its log handlers.

Runs in children and other short-lived processes, after the application's code.
"""

from __future__ import annotations

import logging
import sys

from resqued.log import capture


def flush() -> None:
    """Flush the buffers that the application has filled; raise nothing.

    A child that is about to exit has reported its outcome, and the worker kills it if
    it hangs here.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # noqa: S112 - the job has replaced, closed or broken it
            continue
    capture.finish()
    for reference in logging._handlerList[:]:  # type: ignore[attr-defined]
        handler = reference()
        try:
            # The last resort is a name for sys.stderr.
            if handler is not None and handler is not logging.lastResort:
                handler.flush()
        except BaseException:  # noqa: S112 - handlers are the application's code
            continue
