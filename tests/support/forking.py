"""A child of the test itself, for what takes two processes and no daemon."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def forked(main: Callable[[], object]) -> Iterator[int]:
    """Run main in a child, which is killed at the end if it is still there."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            main()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def run_in_child(main: Callable[[], object]) -> None:
    """Run main in a child, and see that it went well."""
    with forked(main) as pid:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
