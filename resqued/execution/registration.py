"""The entries of a worker in Redis, and the outcome that is not stored there yet.

Runs in the worker, which decides when to send a request. A StoreError leaves the
state here unchanged, so that the request can be repeated.
"""

from __future__ import annotations

import os
import random
import time

from resqued.config.settings import AppSettings
from resqued.execution.worker_history import WorkerHistory
from resqued.log import logger
from resqued.store.attempts import AttemptEnd
from resqued.store.connection import SingleLink
from resqued.store.runs import FinishedRun, JobIntake, NoJob, Runs, SettleOutcome
from resqued.system import process
from resqued.wire import payload
from resqued.wire.keys import Keys
from resqued.wire.outcome import death_record
from resqued.wire.payload import FailureInfo, Reservation
from resqued.wire.queue_list import QueueList
from resqued.wire.worker_entry import Identity

# hot path: enum-members
_NOT_MINE, _ASIDE = SettleOutcome.NOT_MINE, SettleOutcome.ASIDE


class WorkerRegistration:
    """One worker's entries in Redis: its registration, its run, its heartbeat."""

    def __init__(self, settings: AppSettings, queues: QueueList, link: SingleLink):
        pid = os.getpid()
        host = process.host_in_ids(settings.hostname)
        identity = Identity(
            boot=process.boot_id(),
            pids=process.namespaces(),
            pid=pid,
            start=process.start_time(pid) or 0,
            interval=settings.heartbeat,
            nonce=os.urandom(8).hex(),
        )
        self.runs = Runs(
            link,
            Keys(settings.namespace),
            worker_id=f"{host}:{pid}:{queues.name}",
            identity=identity.encode(),
            intake=JobIntake(
                queues, settings.max_payload, settings.burst, settings.min_replicas
            ),
        )
        # The log of the worker; each line contains the worker's id.
        self.log = logger.get(
            role="worker",
            pid=pid,
            worker=self.runs.worker_id,
            generation=settings.generation,
        )
        if settings.shown_namespace:
            self.log = self.log.bind(namespace=settings.shown_namespace)
        self._history = WorkerHistory(settings, link, self.log)
        self.is_registered = False
        # Queues whose keys are not lists.
        self._wrong_types: set[str] = set()
        # A reply was lost, or no child could be forked: this worker may hold a job.
        self.reply_lost = False
        # The run to settle.
        self.finished: FinishedRun | None = None
        self.next_heartbeat = 0.0
        self._heartbeat = settings.heartbeat
        self._place = settings.failure_place

    def register(self, now: float) -> bool:
        """Register the worker; return False if another worker has its id."""
        if not self.runs.register():
            return False
        self.is_registered = True
        self.next_heartbeat = now + self._heartbeat
        return True

    def beat(self, now: float) -> None:
        """Store a heartbeat, and find out whether the worker is still registered.

        The runs since the last heartbeat are added to the history.
        """
        self.next_heartbeat = now + self._heartbeat * random.uniform(0.9, 1)
        self.is_registered = self.runs.heartbeat()
        self._history.flush()

    def check_writes(self) -> None:
        """Raise StoreError unless Redis accepts writes."""
        self.runs.check_writes()

    def record_end(
        self,
        held: Reservation,
        fault: FailureInfo | None,
        attempt: AttemptEnd | None = None,
        *,
        took: float = 0.0,
    ) -> None:
        """Keep the outcome of a run, which the next request settles.

        `attempt` is there if the job has a retry, or has killed its child. The run took
        `took` seconds.
        """
        self._history.count(held, took, has_failed=fault is not None)
        if fault is None:
            self.finished = FinishedRun(held.run, attempt=attempt, held=held)
            return
        entry = payload.failure(
            fault,
            payload=held.payload,
            worker=self.runs.worker_id,
            queue=held.queue,
            now=time.time(),
            attempt=attempt.attempt.number if attempt else 0,
        )
        addressed = self._place.addressed(entry, held.queue)
        self.finished = FinishedRun(held.run, addressed, attempt, held=held)
        if attempt and attempt.death:
            self.finished.death = death_record(
                fault,
                worker=self.runs.worker_id,
                now=time.time(),
                attempt=attempt.attempt.number,
            )

    def ask(self, *, takes_job: bool) -> Reservation | NoJob:
        """Settle the last run and take the next job, in one round trip."""
        self._settle_attempt()
        finished = self.finished
        if takes_job:
            self.reply_lost = True
            settled, answer = self.runs.reserve(finished)
        else:
            settled, answer = self.runs.settle(finished)
        self.reply_lost = False
        if settled is _NOT_MINE and finished is not None:
            # Is it the job that has just run? Then somebody has deleted the counter
            # that numbers the runs, as scripts do that reset statistics.
            number = finished.number_in(answer)
            if number is not None:
                finished.run = number
                return self.ask(takes_job=takes_job)
        if self.runs.wrong_type:
            self._report_wrong_type(self.runs.wrong_type)
        if finished is not None:
            self._note_settled(finished, settled)
        return answer

    def _settle_attempt(self) -> None:
        """Settle the last run, if its job has a retry or has killed its child."""
        finished = self.finished
        if finished is not None and finished.attempt is not None:
            settled = self.runs.settle_attempt(finished, finished.attempt)
            self._note_settled(finished, settled)
            death = finished.attempt.death
            if death is not None and settled is SettleOutcome.QUARANTINED:
                about = {"queue": death.queue, "job_class": death.class_name}
                self.log.error("job_quarantined", **about, deaths=death.limit)

    def _note_settled(self, finished: FinishedRun, settled: SettleOutcome) -> None:
        self.finished = None
        if settled is _NOT_MINE:
            # Another process pruned this worker as dead and recorded a failure.
            self.log.warning("run_settled_elsewhere", run=finished.run)
        elif settled is _ASIDE:
            reason = "failed is no list: the entry is in resqued:failed"
            self.log.error("job_unsettled", run=finished.run, reason=reason)

    def _report_wrong_type(self, queue: str) -> None:
        """Log, once for each queue, that it is skipped because of its type."""
        self.runs.wrong_type = ""
        if queue not in self._wrong_types:
            self._wrong_types.add(queue)
            self.log.error("queue_wrong_type", queue=queue)

    def leave(self) -> bool:
        """Unregister; return False if Redis holds a job unknown to this worker."""
        self._history.flush()
        if self.runs.unregister() or not self.runs.heartbeat():
            return True
        self.reply_lost = True
        return False
