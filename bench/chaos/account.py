"""The account of all jobs, from the server's data and the witness's records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Books:
    """What the server and the witness hold after the pool has ended.

    Jobs have the numbers from 0 to `numbers` - 1; `rubbish` elements were no jobs.
    `started` and `ended` count the witness's records by job, `failed` the failure
    entries by job, and `nameless` those of rubbish. `queued` are the jobs that still
    wait. `processed` and `failures` are Resque's counters.
    """

    numbers: int
    rubbish: int
    started: Mapping[int, int]
    ended: Mapping[int, int]
    failed: Mapping[int, int]
    nameless: int
    queued: Mapping[int, int]
    processed: int
    failures: int

    @property
    def at_stake(self) -> int:
        """The number of elements that were put on the queues."""
        return self.numbers + self.rubbish

    @property
    def entries(self) -> int:
        """The number of failure entries."""
        return sum(self.failed.values()) + self.nameless

    def lost(self) -> list[str]:
        """Return a text for each job that is missing, or was not recorded."""
        every = set(range(self.numbers))
        known = self.ended.keys() | self.failed.keys() | self.queued.keys()
        problems = [f"job {n} is nowhere" for n in sorted(every - known)]
        cut_short = self.started.keys() - self.ended.keys() - self.failed.keys()
        problems += [f"job {n} began, and has no end" for n in sorted(cut_short)]
        problems += ["rubbish without an entry"] * max(0, self.rubbish - self.nameless)
        missing = self.at_stake - self.queued_total - self.processed
        return problems + ["a run that was not recorded"] * max(0, missing)

    def doubled(self) -> list[str]:
        """Return a text for each job that ran twice, or was recorded twice."""
        begun = self.started.items()
        problems = [f"job {n} began {k} times" for n, k in begun if k > 1]
        failed = self.failed.items()
        problems += [f"job {n} has {k} entries" for n, k in failed if k > 1]
        problems += [
            f"job {n} is queued and has run"
            for n in self.queued.keys() & (self.started.keys() | self.failed.keys())
        ]
        problems += ["an entry for no rubbish"] * max(0, self.nameless - self.rubbish)
        extra = self.processed - (self.at_stake - self.queued_total)
        return problems + ["a run that was recorded again"] * max(0, extra)

    def contradictions(self) -> list[str]:
        """Return a text for each counter that does not agree with a list."""
        problems = []
        if self.failures != self.entries:
            problems.append(f"{self.failures} failures counted, {self.entries} entries")
        successes = self.processed - self.failures
        if successes > len(self.ended):
            ended = len(self.ended)
            problems.append(f"{successes} successes counted, {ended} jobs ended")
        return problems

    @property
    def queued_total(self) -> int:
        """The number of jobs that still wait."""
        return Counter(self.queued).total()
