"""The names of all keys in Redis (wire format 1.2), under one namespace."""

from __future__ import annotations

from msgspec import Struct

# The namespace where nobody names another: that of Resque.
DEFAULT_NAMESPACE = "resque"
# The name of the list of the failures of all queues.
FAILED = "failed"


class Keys(Struct, frozen=True):
    """Makes key names; `namespace` is the part before the first colon."""

    namespace: str = DEFAULT_NAMESPACE

    def _key(self, name: str) -> str:
        return f"{self.namespace}:{name}"

    @property
    def queues(self) -> str:
        """The set of known queues."""
        return self._key("queues")

    def queue(self, name: str) -> str:
        """The list of a queue's payloads; the head is the next job."""
        return self._key(f"queue:{name}")

    @property
    def failed(self) -> str:
        """The list of failure entries; the tail is the newest."""
        return self._key(FAILED)

    def failed_of(self, queue: str) -> str:
        """The list of the failures of one queue, with `redis_multi_queue`."""
        return self._key(f"{queue}_failed")

    @property
    def failed_queues(self) -> str:
        """The set of the names of the lists that have the failures of one queue."""
        return self._key("failed_queues")

    def outbox(self, backend: str) -> str:
        """The list of failures that a back end of another service still gets."""
        return self._key(f"resqued:outbox:{backend}")

    def outbox_hand(self, backend: str) -> str:
        """The list with the failure that is being delivered to a back end."""
        return self._key(f"resqued:outbox:hand:{backend}")

    def outbox_owner(self, backend: str) -> str:
        """The lease of the process that delivers to a back end; it expires."""
        return self._key(f"resqued:outbox:owner:{backend}")

    @property
    def audit(self) -> str:
        """The stream of the actions of users of the web front end."""
        return self._key("resqued:audit")

    @property
    def web_tasks(self) -> str:
        """The sorted set of the tasks of the web front end, by when they began."""
        return self._key("resqued:web:tasks")

    @property
    def web_turn(self) -> str:
        """The task that may change long lists; it expires."""
        return self._key("resqued:web:turn")

    @property
    def web_line(self) -> str:
        """The tasks that wait for the turn, since when, and their beats; it expires."""
        return self._key("resqued:web:line")

    def web_task(self, task_id: str) -> str:
        """The hash of one task; it expires."""
        return self._key(f"resqued:web:task:{task_id}")

    def web_hits(self, task_id: str) -> str:
        """The list of what a search has found; it expires."""
        return self._key(f"resqued:web:hits:{task_id}")

    @property
    def outbox_id(self) -> str:
        """The counter of failures that were addressed to other services."""
        return self._key("resqued:outbox:id")

    def captured(self, name: str) -> str:
        """What a back end has kept of an exception; it expires."""
        return self._key(f"resqued:captured:{name}")

    @property
    def outbox_dropped(self) -> str:
        """The hash of back ends to how many failures their full outboxes have lost."""
        return self._key("resqued:outbox:dropped")

    @property
    def failed_aside(self) -> str:
        """The list of failure entries for as long as `failed` is no list."""
        return self._key("resqued:failed")

    @property
    def bulk(self) -> str:
        """The hash of lists on which a bulk operation works, to its state."""
        return self._key("resqued:bulk")

    def bulk_owner(self, list_name: str) -> str:
        """The lease of the process that works on a list; it expires."""
        return self._key(f"resqued:bulk:owner:{list_name}")

    def bulk_staged(self, list_name: str) -> str:
        """The elements of a list that a bulk operation has seen and that stay."""
        return self._key(f"resqued:bulk:staged:{list_name}")

    def line(self, queues: str) -> str:
        """The list of masters that wait for new jobs of a queue list, by a number."""
        return self._key(f"resqued:line:{queues}")

    @property
    def workers(self) -> str:
        """The set of registered worker ids."""
        return self._key("workers")

    def worker(self, worker_id: str) -> str:
        """The record of the job that a worker holds; absent while it is idle."""
        return self._key(f"worker:{worker_id}")

    def started(self, worker_id: str) -> str:
        """The time at which a worker started, as text."""
        return self._key(f"worker:{worker_id}:started")

    @property
    def heartbeats(self) -> str:
        """The hash of worker ids to their last heartbeats."""
        return self._key("workers:heartbeat")

    @property
    def identities(self) -> str:
        """The hash of worker ids to their identities; only resqued uses this key."""
        return self._key("resqued:workers")

    @property
    def masters(self) -> str:
        """The set of the ids of masters; those without a record have gone."""
        return self._key("resqued:masters")

    def master(self, master_id: str) -> str:
        """The record of a master, which expires unless it is written again."""
        return self._key(f"resqued:master:{master_id}")

    @property
    def watch(self) -> str:
        """The text that is there while somebody looks at workers; it expires."""
        return self._key("resqued:watch")

    def detail(self, master_id: str) -> str:
        """The status of a master with its workers, while somebody looks."""
        return self._key(f"resqued:detail:{master_id}")

    @property
    def declared_jobs(self) -> str:
        """The hash of the jobs of applications: names to JSON about them."""
        return self._key("resqued:jobs")

    def ping(self, name: str) -> str:
        """The ping of a node-resque worker, whose name has no queues (8.3)."""
        return self._key(f"worker:ping:{name}")

    def stat(self, name: str, worker_id: str = "") -> str:
        """The counter `name`: of one worker if `worker_id` is given, else of all."""
        return self._key(f"stat:{name}:{worker_id}" if worker_id else f"stat:{name}")

    @property
    def paused(self) -> str:
        """The text that pauses all workers while it is `true`."""
        return self._key("pause-all-workers")

    @property
    def paused_queues(self) -> str:
        """The set of the names of the queues from which no job is taken."""
        return self._key("resqued:paused")

    def ruby_pause(self, queue: str) -> str:
        """The text that pauses a queue for Ruby workers with resque-pause."""
        return self._key(f"pause:queue:{queue}")

    @property
    def write_check(self) -> str:
        """A key that never exists: writing to it if it exists changes nothing."""
        return self._key("resqued:write-check")

    @property
    def prune_lock(self) -> str:
        """The lock that a process takes for 60 s to prune; Ruby takes it too."""
        return self._key("pruning_dead_workers_in_progress")

    @property
    def delayed_schedule(self) -> str:
        """The sorted set of the times at which delayed jobs are due (8.1)."""
        return self._key("delayed_queue_schedule")

    def delayed(self, time: str) -> str:
        """The list of the items that are due at a time, a text of epoch seconds."""
        return self._key(f"delayed:{time}")

    def timestamps(self, item: str) -> str:
        """The set of `delayed:<time>` at which an equal item waits."""
        return self._key(f"timestamps:{item}")

    @property
    def scheduler_lease(self) -> str:
        """The lease of the master that moves delayed jobs; only resqued uses it."""
        return self._key("resqued:scheduler")

    @property
    def ruby_scheduler_lock(self) -> str:
        """The lock of resque-scheduler, which has the namespace twice (8.1)."""
        return self._key(f"{self.namespace}:resque_scheduler_master_lock")

    @property
    def node_scheduler_lock(self) -> str:
        """The lock of the scheduler of node-resque (8.3)."""
        return self._key("resque_scheduler_leader_lock")

    @property
    def schedules(self) -> str:
        """The hash of recurring jobs: names to what masters know of them, as JSON."""
        return self._key("resqued:schedules")

    @property
    def last_ticks(self) -> str:
        """The hash of recurring jobs: names to the last tick, in epoch seconds."""
        return self._key("resqued:schedules:last")

    @property
    def disabled_schedules(self) -> str:
        """The set of the names of recurring jobs that are not enqueued."""
        return self._key("resqued:schedules:disabled")

    @property
    def last_enqueued_at(self) -> str:
        """The hash of recurring jobs: names to times as text; Ruby's too (8.1)."""
        return self._key("delayed:last_enqueued_at")

    def attempts(self, job: str) -> str:
        """The number of the last attempt of a job, from 0, as in resque-retry (8.2)."""
        return self._key(f"resque-retry:{job}")

    def attempt_failure(self, job: str) -> str:
        """The failure entry of the last attempt, while the next one waits (8.2)."""
        return self._key(f"failure-resque-retry:{job}")

    def first_attempt(self, job: str) -> str:
        """When the first attempt of a job began; only resqued uses this key."""
        return self._key(f"resqued:retry:{job}")

    def history(self, period: str, series: str) -> str:
        """The numbers of a series in a day or a month."""
        return self._key(f"resqued:hist:{period}:{series}")

    def history_names(self, period: str) -> str:
        """The set of classes and queues that have series in a day or a month."""
        return self.history(period, "names")

    def history_days(self, period: str) -> str:
        """The set of the days of a month whose minutes were summed."""
        return self.history(period, "days")

    @property
    def history_turn(self) -> str:
        """The lease of the master that writes the readings of this minute."""
        return self._key("resqued:hist:turn")

    @property
    def quarantine(self) -> str:
        """The list of jobs that were set aside, the newest at the tail."""
        return self._key("resqued:quarantine")

    def deaths(self, job: str) -> str:
        """The list of what is known of the runs in a row that a job has killed."""
        return self._key(f"resqued:deaths:{job}")

    @property
    def followed(self) -> str:
        """The hash of payloads, by SHA-1, to jobs whose next run forgets something."""
        return self._key("resqued:followed")

    @property
    def persistent_schedules(self) -> str:
        """The hash of the dynamic schedules of resque-scheduler, as JSON (8.1)."""
        return self._key("persistent_schedules")

    @property
    def changed_schedules(self) -> str:
        """The set of the schedules that resque-scheduler is to read again (8.1)."""
        return self._key("schedules_changed")


def prefix_of(keys: Keys) -> str:
    """Return what all keys begin with."""
    return f"{keys.namespace}:"
