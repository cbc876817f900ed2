"""The account of all jobs, from the server's data and the witness's records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Books:
    """What the server and the witness hold after the pool has ended.

    Jobs have the numbers from 0 to `numbers` - 1; `rubbish` elements were no jobs.
    `started` and `ended` count the witness's records by job, `failed` the failure
    entries by job, and `nameless` those of rubbish. `queued` are the jobs that still
    wait. `processed` and `failures` are Resque's counters.

    Where servers fail over, `unsure` are the jobs of which no server has confirmed that
    it has them, and `unreplicated` those that only a server of before has confirmed.
    `severed` are the jobs whose reservation or record only such a server may have.
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
    unsure: Set[int] = frozenset()
    unreplicated: Set[int] = frozenset()
    severed: Set[int] = frozenset()

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
        gone = self._nowhere - self.unsure - self.unreplicated
        problems = [f"job {n} is nowhere" for n in sorted(gone)]
        cut_short = self.started.keys() - self.ended.keys() - self.failed.keys()
        problems += [f"job {n} began, and has no end" for n in sorted(cut_short)]
        problems += ["rubbish without an entry"] * max(0, self.rubbish - self.nameless)
        missing = self._unrecorded - len(self.severed)
        return problems + ["a run that was not recorded"] * max(0, missing)

    def lost_by_replication(self) -> int:
        """Return how many jobs and records only a server of before has confirmed."""
        jobs = len(self._nowhere & self.unreplicated)
        return jobs + min(len(self.severed), max(0, self._unrecorded))

    def repeated_by_replication(self) -> int:
        """Return how many jobs ran again as their reservation was not replicated."""
        begun = {n for n, k in self.started.items() if k > 1}
        return len(begun & self.severed)

    def doubled(self) -> list[str]:
        """Return a text for each job that is queued, ran or was recorded twice."""
        begun = self.started.items()
        problems = [
            f"job {n} began {k} times"
            for n, k in begun
            if k > 1 and n not in self.severed
        ]
        queued = self.queued.items()
        problems += [
            f"job {n} is queued {k} times"
            for n, k in queued
            if k > 1 and n not in self.severed
        ]
        failed = self.failed.items()
        problems += [f"job {n} has {k} entries" for n, k in failed if k > 1]
        problems += [
            f"job {n} is queued and has run"
            for n in self.queued.keys() & (self.started.keys() | self.failed.keys())
            if n not in self.severed
        ]
        problems += ["an entry for no rubbish"] * max(0, self.nameless - self.rubbish)
        extra = -self._unrecorded
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
    def _nowhere(self) -> set[int]:
        """The jobs that are neither done nor waiting."""
        known = self.ended.keys() | self.failed.keys() | self.queued.keys()
        return set(range(self.numbers)) - known

    @property
    def _unrecorded(self) -> int:
        """How many runs the counter lacks; negative if it has some twice."""
        gone = self._nowhere & (self.unsure | self.unreplicated)
        return self.at_stake - len(gone) - self.queued_total - self.processed

    @property
    def queued_total(self) -> int:
        """The number of jobs that still wait."""
        return Counter(self.queued).total()
