"""Runs the measurements in rounds: each round measures every library once, so that a
disturbance of the machine affects all of them equally.
"""

import functools
import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import measure
from errors import BenchError
from measure import Cost, Effort, Idleness, Rates
from peers import ENQUEUE, IDLE, JOBS, LATENCY, Peer
from rig import Rig

Key = TypeVar("Key", bound=Hashable)
Figure = TypeVar("Figure")
Say = Callable[[str], None]

# The ways of pushing a job: by the library, or by Redis commands without it.
LIBRARY = "library"
RAW = "raw"


@dataclass(slots=True)
class Results:
    """All figures, by the key of their library; a list holds one per round."""

    costs: dict[str, list[Cost]] = field(default_factory=dict)
    rates: dict[str, list[Rates]] = field(default_factory=dict)
    # By the key and the way of pushing.
    waits: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    idle: dict[str, Idleness] = field(default_factory=dict)
    # What could not be measured, and why.
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Turn(Generic[Key, Figure]):
    """A measurement that is made once in each round."""

    key: Key
    title: str
    measure: Callable[[], Figure]


def interleave(
    what: str,
    turns: Sequence[Turn[Key, Figure]],
    rounds: int,
    failures: list[str],
    say: Say,
) -> dict[Key, list[Figure]]:
    """Take each turn once per round; return the figures by the turn's key.

    Each round begins with another turn, so that no turn always follows the same one.
    A turn that fails is left out from then on, and its error is added to `failures`.
    """
    figures: dict[Key, list[Figure]] = {turn.key: [] for turn in turns}
    for number in range(rounds):
        first = number % max(1, len(turns))
        for turn in [*turns[first:], *turns[:first]]:
            if turn.key not in figures:
                continue
            say(f"{what}, round {number + 1} of {rounds}: {turn.title}")
            try:
                figures[turn.key].append(turn.measure())
            except BenchError as error:
                del figures[turn.key]
                failures.append(f"{what}, {turn.title}: {error}")
    return figures


def run(
    rig: Rig, peers: Sequence[Peer], parts: Sequence[str], effort: Effort, say: Say
) -> Results:
    """Make the measurements named in `parts`, for all peers that take part in them."""
    results = Results()

    def turns(part: str, one: Callable[..., Figure]) -> list[Turn[str, Figure]]:
        return [
            Turn(peer.key, peer.title, functools.partial(one, rig, peer, effort))
            for peer in peers
            if part in peer.parts and part in parts
        ]

    def rounds(
        what: str, number: int, turns: Sequence[Turn[Key, Figure]]
    ) -> dict[Key, list[Figure]]:
        return interleave(what, turns, number, results.failures, say)

    per_job = turns(JOBS, measure.cost_per_job)
    results.costs = rounds("ms per job", effort.rounds, per_job)
    pushing = turns(ENQUEUE, measure.enqueue_rates)
    results.rates = rounds("enqueue", effort.rounds, pushing)
    if LATENCY in parts:
        waking = _wake_ups(rig, peers, effort)
        waits = rounds("push to start", effort.rounds, waking)
        results.waits = {
            key: list(itertools.chain.from_iterable(by_round))
            for key, by_round in waits.items()
        }
    watching = rounds("idle", 1, turns(IDLE, measure.idleness))
    results.idle = {key: figures for key, (figures,) in watching.items()}
    return results


def _wake_ups(
    rig: Rig, peers: Sequence[Peer], effort: Effort
) -> list[Turn[tuple[str, str], list[float]]]:
    """One turn for each way in which a library's jobs can be pushed."""
    turns = []
    for peer in peers:
        if LATENCY not in peer.parts:
            continue
        for way in (LIBRARY, RAW) if peer.raw else (LIBRARY,):
            one = functools.partial(measure.wake_ups, rig, peer, effort, raw=way == RAW)
            title = f"{peer.title}, raw" if way == RAW else peer.title
            turns.append(Turn((peer.key, way), title, one))
    return turns
