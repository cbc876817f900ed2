"""Times as Resque writes them (wire format 2.3); each takes seconds since the epoch."""

from __future__ import annotations

import time


def failed_at(now: float) -> str:
    """Return the time of a failure as Ruby writes it: local, with zone (2.3)."""
    return time.strftime("%Y/%m/%d %H:%M:%S %Z", time.localtime(now))


def run_at(now: float) -> str:
    """Return the time at which a run began: ISO 8601 in UTC (2.3)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def started(now: float) -> str:
    """Return the time at which a worker started: local, with offset (2.3)."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now))


def heartbeat(now: float) -> str:
    """Return a heartbeat: ISO 8601 with a numeric offset, never Z (2.3)."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
    return f"{text[:-2]}:{text[-2:]}"
