"""prctl(2): the death of a process with its parent, and the adoption of orphans."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# hot path: enum-members
_SIGKILL = int(signal.SIGKILL)
_prctl = ctypes.CDLL(None).prctl


def die_with_parent(parent: int, signum: int = _SIGKILL) -> None:
    """Make the kernel kill this process when its parent dies (PR_SET_PDEATHSIG).

    `parent` is the pid of the parent, and `signum` the signal. Exits at once with
    status 1 if the parent is dead already, because the kernel then sends no signal.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


def become_subreaper() -> None:
    """Adopt orphaned descendants (PR_SET_CHILD_SUBREAPER), to find and reap them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def undo() -> None:
    """Undo die_with_parent and become_subreaper."""
    _prctl(_PR_SET_PDEATHSIG, 0)
    _prctl(_PR_SET_CHILD_SUBREAPER, 0)
