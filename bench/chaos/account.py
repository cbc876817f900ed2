"""The count: what became of each job, from what the server and the witness say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Books:
    """What was written down, when the pool has gone.

    `started` and `ended` are the witness's, by the job's number; `failed` are the
    failure entries by number, with `nameless` for those of what was no job;
    `processed` and `failures` are the counters of Resque.
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
        """How many elements were put on the queues."""
        return self.numbers + self.rubbish

    @property
    def entries(self) -> int:
        """How many failure entries there are."""
        return sum(self.failed.values()) + self.nameless

    def lost(self) -> list[str]:
        """Tell of each job that is nowhere, or was not recorded."""
        every = set(range(self.numbers))
        known = self.ended.keys() | self.failed.keys() | self.queued.keys()
        told = [f"job {n} is nowhere" for n in sorted(every - known)]
        cut_short = self.started.keys() - self.ended.keys() - self.failed.keys()
        told += [f"job {n} began, and has no end" for n in sorted(cut_short)]
        told += ["rubbish without an entry"] * max(0, self.rubbish - self.nameless)
        missing = self.at_stake - self.queued_total - self.processed
        return told + ["a run that was not recorded"] * max(0, missing)

    def doubled(self) -> list[str]:
        """Tell of each job that ran twice, or was recorded twice."""
        told = [f"job {n} began {k} times" for n, k in self.started.items() if k > 1]
        told += [f"job {n} has {k} entries" for n, k in self.failed.items() if k > 1]
        told += [
            f"job {n} is queued and has run"
            for n in self.queued.keys() & (self.started.keys() | self.failed.keys())
        ]
        told += ["an entry for no rubbish"] * max(0, self.nameless - self.rubbish)
        extra = self.processed - (self.at_stake - self.queued_total)
        return told + ["a run that was recorded again"] * max(0, extra)

    def contradictions(self) -> list[str]:
        """Tell where the counters and the lists do not agree."""
        told = []
        if self.failures != self.entries:
            told.append(f"{self.failures} failures counted, {self.entries} entries")
        successes = self.processed - self.failures
        if successes > len(self.ended):
            told.append(f"{successes} successes counted, {len(self.ended)} jobs ended")
        return told

    @property
    def queued_total(self) -> int:
        """How many jobs still wait."""
        return Counter(self.queued).total()
