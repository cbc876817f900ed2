"""What is seen of a queue and of those who may serve it: facts, and findings of them.

Values alone; diagnostics.explain makes findings of the facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from resqued.core.limits import Limits
from resqued.diagnostics.import_result import Import
from resqued.wire.queue_list import QueueList

LIVE = ("working", "idle")


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen, and the way out. A cause keeps the job from running.

    `details` are lines below it, one for each thing that it counts.
    """

    kind: str
    text: str
    remedy: str = ""
    is_cause: bool = True
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A worker that may serve the queue, as it was seen.

    `state` is working, idle, dead, silent or unknown; `busy_for` are the seconds
    since its job began, None if that is not known. An id leaves exclusions out: the
    list is whole only if it comes from the worker's master (`is_whole`).
    """

    worker_id: str
    queues: QueueList
    state: str = "idle"
    is_paused: bool = False
    job_class: str = ""
    job_queue: str = ""
    busy_for: float | None = None
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """Where a class was found in the queue: how many jobs are ahead of it.

    `ahead` is None if it was not among the first `looked_at`.
    """

    class_name: str
    ahead: int | None
    looked_at: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen. `sizes` are the lengths of all queues that are known.

    `elsewhere` are keys of other namespaces that hold a queue of this name, with
    its length; `unseen` says why they could not be looked for, or not all. `pools`
    are the queue lists of the configuration. `unread` are queues that were looked
    through for the class in part: how many of their jobs. `allowed` are the limits
    that apply, `ended` how many of the newest failures of the class were by a limit.
    """

    namespace: str
    queue: str
    size: int
    sizes: Mapping[str, int]
    is_known: bool = True
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    unseen: str = ""
    is_paused: bool = False
    paused_masters: tuple[int, ...] = ()
    workers: tuple[Candidate, ...] = ()
    pools: tuple[QueueList, ...] = ()
    search: Search | None = None
    unread: Mapping[str, int] = field(default_factory=dict)
    imported: Import | None = None
    untried: str = ""
    allowed: tuple[Limits, ...] = ()
    failed: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)
    interval: float = 5.0

    @property
    def serving(self) -> tuple[Candidate, ...]:
        """The workers whose lists serve the queue, in any state."""
        return tuple(w for w in self.workers if self.is_served_by(w.queues))

    @property
    def live(self) -> tuple[Candidate, ...]:
        """Those of them that give signs of life."""
        return tuple(w for w in self.serving if w.state in LIVE)

    @property
    def class_name(self) -> str:
        """The class that was asked for; nothing if it was the queue alone."""
        return self.search.class_name if self.search else ""

    def is_served_by(self, queues: QueueList) -> bool:
        """Return True if a list means the queue, as it is known now."""
        return queues.serves(self.queue) and (self.is_known or not queues.is_dynamic)
