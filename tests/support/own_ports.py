"""The TCP ports of this process, by its own descriptors.

psutil reads /proc/net/tcp for them, which lists each connection of the last minute of
every process: 40 ms while the suite runs, and each test with a server asks.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def own_ports() -> set[int]:
    """Return the local port of each TCP socket that this process has open."""
    return set(_ports())


def _ports() -> Iterator[int]:
    for entry in Path("/proc/self/fd").iterdir():
        # The descriptor of this list is closed by now, and threads close others.
        with suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as ours:
                if ours.family in (socket.AF_INET, socket.AF_INET6):
                    yield ours.getsockname()[1]
