"""A fault, and the result of trying it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.account import Books
from bench.chaos.site import Setting, Site, Slowest

# How many lost jobs, and how many doubled ones, are printed.
SHOWN = 5


class NotTriedError(Exception):
    """A fault cannot be tried on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and how often it is tried by default.

    `strike` causes the fault once and waits until the pool has recovered. `may_fail`
    is True if jobs may fail because of it. With `has_reload` the master is reloaded
    half-way through the tries. `site` is the kind of place where it happens.
    """

    name: str
    strike: Callable[[Site], None]
    times: int
    setting: Setting = field(default_factory=Setting)
    may_fail: bool = False
    has_reload: bool = False
    site: type[Site] = Site


@dataclass(frozen=True, slots=True)
class Result:
    """The result of trying a fault.

    `problems` is empty if the pool recovered and every job is accounted for; `books`
    is None if there was no account; `skipped` is the reason why it was not tried.
    """

    fault: Fault
    tried: int
    books: Books | None
    slowest: Slowest
    problems: tuple[str, ...]
    skipped: str = ""


def attempt(fault: Fault, times: int, binary: Path | None = None) -> Result:
    """Try a fault `times` times on a new site.

    `binary` is the program of the server, None for the embedded one.
    """
    with tempfile.TemporaryDirectory(prefix="resqued-chaos-") as folder:
        try:
            with fault.site(Path(folder), fault.setting, binary) as site:
                return _on(site, fault, times)
        except NotTriedError as error:
            return Result(fault, 0, None, Slowest(), (), str(error))
        except AssertionError as error:
            return Result(fault, 0, None, Slowest(), (str(error),))


def _on(site: Site, fault: Fault, times: int) -> Result:
    tried = 0
    try:
        for tried in range(1, times + 1):
            if fault.has_reload and tried == (times + 1) // 2:
                site.master.signal(signal.SIGHUP)
            fault.strike(site)
    except AssertionError as error:
        site.problems.append(f"at try {tried}: {error}")
    books = site.finish()
    problems = [*site.problems, *books.lost()[:SHOWN], *books.doubled()[:SHOWN]]
    if books.entries > books.rubbish and not fault.may_fail:
        problems.append(f"{books.entries - books.rubbish} jobs failed, and none should")
    if problems:
        problems.append(f"last lines of the master's log: {site.last_words()}")
    return Result(fault, tried, books, site.slowest, tuple(problems))
