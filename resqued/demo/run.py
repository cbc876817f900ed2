"""One run of the demo: server, master, jobs, the wait, the end, and the checks.

If anything fails, everything that was started is ended, in the order that lets each
part finish: master, workers, server, remaining processes, folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from msgspec import Struct

from resqued.client import Client
from resqued.demo import NAMESPACE, DemoError, demo_pages, demo_server
from resqued.demo.demo_master import QUEUES, DemoMaster, EndedJobs
from resqued.demo.interrupts import Interrupts
from resqued.demo.load import Load
from resqued.demo.offspring import Descendants, describe
from resqued.demo.progress import Progress, Snapshot
from resqued.demo.report import DemoReport, megabytes
from resqued.demo.sources import Folder, scan
from resqued.demo.verdict import Outcome, check_files, check_pool
from resqued.demo.workspace import Workspace
from resqued.errors import StoreError
from resqued.store.reports import RunningJob

_TICK = 0.1
# Between two rounds of jobs while the pages are served, in seconds.
_REST = 5.0
_START_DEADLINE = 30.0
# After so many seconds with jobs queued and no worker busy, the demo gives up.
_STALL_DEADLINE = 60.0
# The master kills its zygote just before it ends, and that takes a moment.
_LEAVE_DEADLINE = 3.0


class DemoOptions(Struct, frozen=True):
    """The options of `resqued demo`; `out` and `redis` are None by default.

    With `has_web` the pages are served, and the demo continues until a signal ends it.
    """

    source: Path
    out: Path | None
    redis: str | None
    workers: int
    has_web: bool = False


class Demo:
    """One run of the demo."""

    def __init__(
        self, options: DemoOptions, interrupts: Interrupts, progress: Progress
    ) -> None:
        self._options = options
        self._interrupts = interrupts
        self._must_run: list[Callable[[], None]] = []
        self._progress = progress

    def _tick(self) -> None:
        """Raise Interrupted after a signal, DemoError if the pages have ended."""
        self._interrupts.check()
        for must_run in self._must_run:
            must_run()

    def run(self) -> DemoReport:
        """Run the demo and return its report.

        Only the folder remains, and only if every check holds. Raises Interrupted if
        a signal arrived, DemoError or StoreError if the demo cannot continue; by then
        everything has ended.
        """
        all_processes = Descendants()
        folders, left_out = scan(self._options.source, self._tick)
        self._progress.say(
            f"{len(folders)} package folders,"
            f" {sum(len(folder.files) for folder in folders)} files,"
            f" {megabytes(sum(folder.size for folder in folders))}"
            f" in {self._options.source}"
        )
        workspace = Workspace.make(
            self._options.out, apart_from=[folder.path for folder in folders]
        )
        with ExitStack() as undo:
            undo.callback(workspace.remove)
            try:
                report = self._work(Load(folders, workspace), workspace)
            except Exception:
                # A signal may be the cause: then raise Interrupted instead.
                self._interrupts.check()
                raise
            finally:
                _end_all(all_processes)
            report.left_out = left_out
            self._progress.say(f"checking {len(folders)} archives")
            self._check(report, folders, workspace)
            if report.is_kept:
                undo.pop_all()
        return report

    def _check(
        self, report: DemoReport, folders: list[Folder], workspace: Workspace
    ) -> None:
        report.checks += check_files(folders, workspace, self._tick)
        report.archives = len(folders)
        report.bytes_read = sum(folder.size for folder in folders)
        report.bytes_written = sum(
            path.stat().st_size
            for folder in folders
            if (path := workspace.archive(folder.name)).exists()
        )
        workspace.drop_server()
        # Keep an existing folder that the user named, to look at the problems.
        report.is_kept = report.is_good or not workspace.is_ours

    def _work(self, load: Load, workspace: Workspace) -> DemoReport:
        """Run the jobs in a pool, end the pool, and return a report without files."""
        redis = self._options.redis
        with (
            demo_server.embedded(workspace.server)
            if redis is None
            else demo_server.borrowed(redis)
        ) as url:
            pool = Descendants()
            client = Client(url, namespace=NAMESPACE)
            master = DemoMaster(url, self._options.workers, workspace)
            try:
                with self._pages(url, workspace):
                    return self._watch(load, client, master, pool)
            except StoreError:
                # Without Redis a master would wait, to record the jobs that it ended.
                master.kill()
                raise
            finally:
                master.end(lambda: self._interrupts.is_urgent)
                # Before the server ends, or the processes would wait for it.
                pool.kill()
                client.close()

    @contextmanager
    def _pages(self, url: str, workspace: Workspace) -> Iterator[None]:
        """Serve the pages meanwhile, if they are wanted."""
        if not self._options.has_web:
            yield
            return
        with demo_pages.serving(url, workspace) as pages:
            self._progress.say(f"look at {pages.address}; Ctrl-C ends the demo")
            self._must_run.append(pages.must_run)
            try:
                yield
            finally:
                self._must_run.clear()

    def _watch(
        self, load: Load, client: Client, master: DemoMaster, pool: Descendants
    ) -> DemoReport:
        count = self._options.workers
        self._wait_for_workers(client, master)
        self._progress.say(f"{count} worker{'' if count == 1 else 's'} on {QUEUES}")
        tally = EndedJobs(master.log)
        began = time.monotonic()
        load.enqueue(client)
        ended = self._wait_for_jobs(load, client, master, tally)
        while self._options.has_web:
            # The pages show jobs that run, until a signal ends the demo.
            self._pause(_REST)
            load.enqueue(client)
            self._wait_for_jobs(load, client, master, tally)
        report = DemoReport(
            self._options.source, master.log.parent, count, ended - began
        )
        status = master.quit(self._tick)
        remaining = pool.wait(_LEAVE_DEADLINE, self._tick)
        tally.read()
        outcome = Outcome.read(client, load, tally)
        report.rows, report.failures = outcome.rows, outcome.failures
        processes = [describe(one) for one in remaining]
        report.checks = check_pool(outcome, status, processes)
        return report

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._tick()
            time.sleep(_TICK)

    def _wait_for_workers(self, client: Client, master: DemoMaster) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while len(client.workers()) < self._options.workers:
            self._tick()
            master.must_run()
            if time.monotonic() >= deadline:
                raise DemoError(
                    f"the workers have not started within {_START_DEADLINE:.0f} s:"
                    f" {master.last_words()}"
                )
            time.sleep(_TICK / 2)

    def _wait_for_jobs(
        self, load: Load, client: Client, master: DemoMaster, tally: EndedJobs
    ) -> float:
        """Wait until all jobs have ended; return when that was (time.monotonic()).

        Two equal looks in a row are needed: Redis is asked for the queues first and
        for the workers then, and in between a job may end and enqueue another.
        """
        quiet = (-1, 0.0)
        moved = (0, time.monotonic())
        while True:
            self._tick()
            master.must_run()
            tally.read()
            status = client.status()
            running = [(w.pid, w.job) for w in status.workers if w.job]
            moment = Snapshot(
                load.lines(tally), [(pid, _words(job)) for pid, job in running]
            )
            self._progress.show(moment)
            now, processed = time.monotonic(), status.processed
            if not running and not status.pending:
                if processed == quiet[0]:
                    return quiet[1]
                quiet = (processed, now)
            if running or processed != moved[0]:
                moved = (processed, now)
            elif now >= moved[1] + _STALL_DEADLINE:
                raise DemoError(
                    f"no job has ended for {_STALL_DEADLINE:.0f} s:"
                    f" {master.last_words()}"
                )
            time.sleep(_TICK)


def _words(job: RunningJob) -> str:
    first = job.args[0] if job.args else ""
    return f"{job.class_name} {Path(str(first)).name}".rstrip()


def _end_all(all_processes: Descendants) -> None:
    if remaining := all_processes.kill():
        names = ", ".join(describe(one) for one in remaining)
        raise DemoError(f"these processes cannot be killed: {names}")
