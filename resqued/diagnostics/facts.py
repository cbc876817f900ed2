"""Facts about a queue and the workers that may serve it, and findings from them.

Values only; diagnostics.explain makes findings from the facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from resqued.core.limits import Limits
from resqued.diagnostics.import_result import Import
from resqued.store.server_facts import AnsweringServer
from resqued.wire.queue_list import QueueList

LIVE = ("working", "idle")
# The most names in a line.
NAMED = 3


class Observation(Struct, frozen=True):
    """A finding and its remedy. With `is_cause` it prevents the job from running.

    `details` are further lines, one for each item that `text` counts.
    """

    kind: str
    text: str
    remedy: str = ""
    is_cause: bool = True
    details: tuple[str, ...] = ()


class Candidate(Struct, frozen=True):
    """A worker that may serve the queue, as it was read.

    `state` is working, idle, dead, silent or unknown; `busy_for` are the seconds since
    its job began, None if that is not known. A worker id has no exclusions, so the
    queue list is complete (`is_whole`) only if it comes from the worker's master.
    """

    worker_id: str
    queues: QueueList
    state: str = "idle"
    is_paused: bool = False
    job_class: str = ""
    job_queue: str = ""
    busy_for: float | None = None
    is_whole: bool = False


class Search(Struct, frozen=True):
    """The search for a class in the queue, and how many jobs are ahead of it.

    `ahead` is None if the class was not among the first `looked_at` jobs.
    """

    class_name: str
    ahead: int | None
    looked_at: int


class Waiting(Struct, frozen=True):
    """Jobs that are not on their queue: how many, as far as one page of each tells.

    `delayed` wait for a time, the first until `delayed_until`; `retries` for another
    attempt, the first until `retry_at`, after `retry_error`. `quarantined` were set
    aside, the last of them at `quarantined_since` after `death`.
    """

    delayed: int = 0
    delayed_until: str = ""
    retries: int = 0
    retry_at: str = ""
    retry_error: str = ""
    quarantined: int = 0
    quarantined_since: str = ""
    death: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts about a queue. `sizes` are the lengths of all known queues.

    `is_paused` is whether all workers are paused, `is_queue_paused` whether this queue
    is. `paused_masters` are the pids of paused masters that answer here. The ids of
    `other_masters` are of those that serve the queue and are known from Redis alone, on
    other hosts or of other users; `paused_elsewhere` are those of them that are paused.
    `elsewhere` are the keys and lengths of queues of this name in other namespaces;
    `unseen` is why such keys may be missing. `pools` are the queue lists of the
    configuration. `unread` are queues that were searched for the class only in part,
    with the number of jobs that were read. `untried` is why the application was not
    imported. `allowed` are the limits that apply. `failed` is how many of the newest
    failures are of the class or queue; `ended` counts those that a limit has caused, by
    exception. `waiting` are jobs of the class, or of the queue, that are elsewhere.
    `server` is the one that has answered.
    """

    namespace: str
    queue: str
    size: int
    sizes: Mapping[str, int]
    is_known: bool = True
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    unseen: str = ""
    is_paused: bool = False
    is_queue_paused: bool = False
    paused_masters: tuple[int, ...] = ()
    other_masters: tuple[str, ...] = ()
    paused_elsewhere: tuple[str, ...] = ()
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
    server: AnsweringServer = field(default_factory=AnsweringServer)
    waiting: Waiting = field(default_factory=Waiting)
    serving: tuple[Candidate, ...] = field(init=False, repr=False, compare=False)
    """The workers whose lists serve the queue, in any state."""

    def __post_init__(self) -> None:
        serving = tuple(w for w in self.workers if self.is_served_by(w.queues))
        object.__setattr__(self, "serving", serving)

    @property
    def live(self) -> tuple[Candidate, ...]:
        """The workers of `serving` that are alive."""
        return tuple(w for w in self.serving if w.state in LIVE)

    @property
    def class_name(self) -> str:
        """The class that was asked for; "" if only the queue was."""
        return self.search.class_name if self.search else ""

    def is_served_by(self, queues: QueueList) -> bool:
        """Return True if a list serves the queue; wildcards serve only known queues."""
        return queues.serves(self.queue) and (self.is_known or not queues.is_dynamic)

    def as_dict(self, findings: Sequence[Observation]) -> dict[str, Any]:
        """Return facts and findings as `resqued why --json` shows them."""
        search = self.search
        return {
            "queue": self.queue,
            "namespace": self.namespace,
            "server": self.server.place or None,
            "role": self.server.role or None,
            "size": self.size,
            "class": self.class_name or None,
            "ahead": search.ahead if search else None,
            "serving": [worker.worker_id for worker in self.serving],
            "other_masters": list(self.other_masters),
            "findings": [asdict(finding) for finding in findings],
        }
