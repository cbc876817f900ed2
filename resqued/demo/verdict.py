"""The results of the jobs, and the checks of what the demo claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct

from resqued.client import Client
from resqued.demo import check
from resqued.demo.demo_jobs import MEANT_TO_FAIL
from resqued.demo.demo_master import EndedJobs
from resqued.demo.load import Load
from resqued.demo.report import Check, FailedJob, Row
from resqued.demo.sources import Folder
from resqued.demo.workspace import Workspace


class Outcome(Struct, frozen=True):
    """The results in Redis and in the master's log, after the pool has ended.

    `processed` and `failed` are Redis's counters, `waiting` the lengths of queues that
    are not empty, `workers` the ids that are still registered.
    """

    rows: list[Row]
    failures: list[FailedJob]
    processed: int
    failed: int
    waiting: dict[str, int]
    workers: list[str]

    @classmethod
    def read(cls, client: Client, load: Load, tally: EndedJobs) -> Outcome:
        """Read the results of an ended pool; raise StoreError if Redis fails."""
        failures = [
            FailedJob(
                failure.queue,
                failure.class_name,
                str(failure.fields.get("exception")),
                str(failure.fields.get("error")),
            )
            for failure in client.failures.oldest_first()
        ]
        status = client.status()
        return cls(
            rows=_rows(load, tally, failures),
            failures=failures,
            processed=status.processed,
            failed=status.failed,
            waiting={name: size for name, size in status.queues.items() if size},
            workers=[worker.id for worker in status.workers],
        )


def _rows(load: Load, tally: EndedJobs, failures: Sequence[FailedJob]) -> list[Row]:
    """Return the numbers by queue and class: done from the log, failed from Redis."""
    enqueued = load.enqueued(tally)
    failed = Counter((failure.queue, failure.job) for failure in failures)
    return [
        Row(
            queue, job, enqueued[queue, job], tally.done[queue, job], failed[queue, job]
        )
        for queue, job in sorted(enqueued | tally.done | failed)
    ]


def check_pool(
    outcome: Outcome, status: int | None, processes: Sequence[str]
) -> list[Check]:
    """Return the checks of the pool.

    `status` is the master's exit status, None if it did not end in time; `processes`
    are the processes that still run, as texts.
    """
    enqueued = sum(row.enqueued for row in outcome.rows)
    ended = [] if status == 0 else [f"the master ended with status {status}"]
    if status is None:
        ended = ["the master did not end in time"]
    return [
        Check(
            f"every job was processed: {enqueued} enqueued,"
            f" {outcome.processed} processed",
            _count_problems(outcome),
        ),
        Check(
            f"{len(MEANT_TO_FAIL)} jobs were meant to fail, and no other did",
            _failure_problems(outcome.failures),
        ),
        Check(
            "the master ended in good order, and no worker is registered",
            [*ended, *(f"worker {name} is registered" for name in outcome.workers)],
        ),
        Check("no process is left", [f"still there: {one}" for one in processes]),
    ]


def _count_problems(outcome: Outcome) -> list[str]:
    enqueued = sum(row.enqueued for row in outcome.rows)
    problems = [
        f"{row.job} on {row.queue}: {row.enqueued} enqueued, {row.done} done,"
        f" {row.failed} failed"
        for row in outcome.rows
        if row.done + row.failed != row.enqueued
    ]
    problems += [
        f"{size} jobs wait on {name}" for name, size in outcome.waiting.items()
    ]
    if outcome.processed != enqueued:
        problems.append(f"Redis counts {outcome.processed} processed, not {enqueued}")
    if outcome.failed != len(outcome.failures):
        problems.append(
            f"Redis counts {outcome.failed} failed, and lists {len(outcome.failures)}"
        )
    return problems


def _failure_problems(failures: Sequence[FailedJob]) -> list[str]:
    failed = [failure.job for failure in failures]
    return [
        *(f"{failure}" for failure in failures if not failure.is_meant),
        *(f"{job} did not fail" for job in MEANT_TO_FAIL if job not in failed),
    ]


def check_files(
    folders: Sequence[Folder], workspace: Workspace, tick: Callable[[], None]
) -> list[Check]:
    """Return the checks of the files that the jobs made."""
    files = sum(len(folder.files) for folder in folders)
    archives, checksums = [], []
    for folder in folders:
        archive = workspace.archive(folder.name)
        archives += check.archive_problems(folder, archive, tick)
        checksums += check.checksum_problems(archive, tick)
    archives += [
        f"{path.name} was left unfinished" for path in workspace.path.glob(".*.tar.gz*")
    ]
    return [
        Check(
            f"each of {len(folders)} archives holds every file: {files} in all",
            archives,
        ),
        Check("the checksum of each archive is right", checksums),
        Check(
            "the disk usage of each folder is right",
            check.usage_problems(folders, workspace.ledger),
        ),
    ]
