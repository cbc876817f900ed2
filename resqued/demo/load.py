"""The jobs that the demo enqueues, and their numbers by queue and class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from resqued.client import Client
from resqued.demo import demo_jobs
from resqued.demo.demo_master import EndedJobs
from resqued.demo.progress import Line
from resqued.demo.sources import Folder
from resqued.demo.workspace import Workspace

_ARCHIVE = (demo_jobs.FILE_SERVE, "Archive")
_CHECKSUM = (demo_jobs.LOW, "Checksum")


class Load:
    """An Archive and a DiskUsage for each folder, and the jobs that fail."""

    def __init__(self, folders: Sequence[Folder], workspace: Workspace) -> None:
        self._folders = folders
        self._workspace = workspace
        self._rounds = 0
        self._enqueued: Counter[tuple[str, str]] = Counter()

    def enqueue(self, client: Client) -> None:
        """Enqueue all jobs, once more each time; raise StoreError if Redis fails."""
        self._rounds += 1
        client.enqueue_many(self._counted(demo_jobs.CRITICAL, self._usages()))
        client.enqueue_many(self._counted(demo_jobs.FILE_SERVE, self._archives()))
        doomed = [
            (demo_jobs.explode, "this job is meant to fail"),
            (demo_jobs.UNKNOWN_CLASS, 44, "masterbrew"),
            (demo_jobs.segfault,),
        ]
        client.enqueue_many(
            self._counted(demo_jobs.DOOMED, doomed), queue=demo_jobs.DOOMED
        )

    def _archives(self) -> Iterator[tuple[Any, ...]]:
        for folder in self._folders:
            archive = self._workspace.archive(folder.name)
            yield demo_jobs.Archive, str(folder.path), str(archive)

    def _usages(self) -> Iterator[tuple[Any, ...]]:
        for folder in self._folders:
            yield demo_jobs.disk_usage, str(folder.path), str(self._workspace.ledger)

    def _counted(
        self, queue: str, items: Iterator[tuple[Any, ...]] | list[Any]
    ) -> Iterator[tuple[Any, ...]]:
        for item in items:
            yield item
            self._enqueued[queue, _class_name(item[0])] += 1

    def enqueued(self, tally: EndedJobs) -> Counter[tuple[str, str]]:
        """Return the number of enqueued jobs by queue and class.

        Each Archive that succeeded has enqueued a Checksum.
        """
        return self._enqueued + Counter({_CHECKSUM: tally.done[_ARCHIVE]})

    def lines(self, tally: EndedJobs) -> list[Line]:
        """Return the progress of each queue, if all Archives succeed."""
        totals: Counter[str] = Counter(
            {demo_jobs.LOW: self._rounds * len(self._folders)}
        )
        for (queue, _), number in self._enqueued.items():
            totals[queue] += number
        over: Counter[str] = Counter()
        for (queue, _), number in (tally.done + tally.failed).items():
            over[queue] += number
        order = (
            demo_jobs.CRITICAL,
            demo_jobs.FILE_SERVE,
            demo_jobs.LOW,
            demo_jobs.DOOMED,
        )
        return [Line(queue, over[queue], totals[queue]) for queue in order]


def _class_name(job: Any) -> str:
    """Return the class name in the payloads of a job of the demo."""
    if isinstance(job, str):
        return job
    return job.__name__ if isinstance(job, type) else str(job.name)
