"""Descriptors 0 to 2, which a program may be started without."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """See that descriptors 0 to 2 are taken, so that no other file gets one of them."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest number that is free, which is this one.
            opened = os.open(os.devnull, os.O_RDONLY if fd == 0 else os.O_WRONLY)
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            stream = open(fd, "r" if fd == 0 else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
