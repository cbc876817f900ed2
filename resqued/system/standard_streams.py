"""Descriptors 0 to 2, which may be closed when a program is started."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """Open closed descriptors 0 to 2 on /dev/null, so that no other file gets them."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            # open(2) returns the lowest free number, which is `fd`.
            opened = os.open(os.devnull, os.O_RDONLY if fd == 0 else os.O_WRONLY)
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            stream = open(fd, "r" if fd == 0 else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
