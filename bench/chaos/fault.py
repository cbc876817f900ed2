"""What a fault is, and what came of trying it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.chaos.account import Books
from bench.chaos.site import Setting, Site, Slowest

# What a person reads of a long list of the same.
SHOWN = 5


class NotTriedError(Exception):
    """A fault cannot be tried on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class FailureInfo:
    """A fault by its name, and how often it is tried by default.

    `strike` does it once, and waits until all is well again. `may_fail` says that a
    job may end as a failure by it. With `has_reload` a reload comes in the middle.
    """

    name: str
    strike: Callable[[Site], None]
    times: int
    setting: Setting = field(default_factory=Setting)
    may_fail: bool = False
    has_reload: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a fault: `problems` is empty if all was well."""

    fault: FailureInfo
    tried: int
    books: Books | None
    slowest: Slowest
    problems: tuple[str, ...]
    skipped: str = ""


def attempt(fault: FailureInfo, times: int, binary: Path | None = None) -> Result:
    """Try a fault so many times, on a place of its own."""
    with tempfile.TemporaryDirectory(prefix="resqued-chaos-") as folder:
        try:
            with Site(Path(folder), fault.setting, binary) as site:
                return _on(site, fault, times)
        except NotTriedError as error:
            return Result(fault, 0, None, Slowest(), (), str(error))
        except AssertionError as error:
            return Result(fault, 0, None, Slowest(), (str(error),))


def _on(site: Site, fault: FailureInfo, times: int) -> Result:
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
        problems.append(f"last words of the master: {site.last_words()}")
    return Result(fault, tried, books, site.slowest, tuple(problems))
