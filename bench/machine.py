"""Describes the machine for the page: types and sizes, and no names."""

import os
import platform
import re
from datetime import UTC, datetime

import psutil
import redis
from environment import PINS
from processor import processor_model
from server import Server


def describe(server: Server) -> list[tuple[str, str]]:
    """Return the rows of the table about the machine and its software."""
    where = ", on the same machine, nothing kept on disk" if server.embedded else ""
    gigabytes = psutil.virtual_memory().total / 2**30
    return [
        ("date", datetime.now(tz=UTC).date().isoformat()),
        ("processor", f"{processor_model()}, {os.cpu_count()} cores"),
        ("memory", f"{gigabytes:.0f} GB"),
        ("kernel", f"Linux {_kernel()}"),
        ("Python", platform.python_version()),
        ("resqued", f"with redis-py {redis.__version__}"),
        ("server", f"{server.version}{where}"),
        ("others", _libraries()),
        ("load before the start", f"{os.getloadavg()[0]:.1f}"),
    ]


def _kernel() -> str:
    """Return the numbers of the kernel's version, without the builder's suffix."""
    match = re.match(r"[\d.]+\d", platform.release())
    return match.group(0) if match else platform.release()


def _libraries() -> str:
    """Return the peers and their versions, as they are pinned."""
    pins = re.findall(r"^([\w-]+)(?:\[\w+\])?==(\S+)$", PINS.read_text(), re.MULTILINE)
    versions = dict(pins)
    client = versions.pop("redis")
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{named}, with redis-py {client}"
