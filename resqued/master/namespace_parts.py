"""The parts of the master that belong to a namespace: one set for each that it serves.

Runs in the master. On a Redis Cluster each namespace may be on another node, so each
has its own connections, finds out by itself where its primary is and whether that can
be used, and wakes only its own workers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from msgspec import Struct

from resqued.config.loader import Config
from resqued.control.protocol import NamespaceStatus
from resqued.core.exit_status import Exit
from resqued.core.pool_key import PoolKey, where_they_are
from resqued.core.supervised_worker import SupervisedState
from resqued.core.timings import NEVER
from resqued.errors import StoreError, UnusableServerError
from resqued.failure.deliverer_keeper import DelivererKeeper
from resqued.failure.trimmer import FailureTrimmer
from resqued.ipc.messages import PausedQueues
from resqued.log.logger import Logger
from resqued.master import wakeups
from resqued.master.detail_publisher import DetailPublisher
from resqued.master.generations import GenerationManager
from resqued.master.history_keeper import HistoryKeeper
from resqued.master.namespace_check import refuse_unusable
from resqued.master.namespace_configs import NamespaceConfigs
from resqued.master.part import Part
from resqued.master.queue_watcher import QueueWatcher
from resqued.master.reclaimer import Reclaimer
from resqued.master.record_publisher import MasterFacts, RecordPublisher
from resqued.master.redis_monitor import RedisMonitor
from resqued.master.worker_handle import WorkerHandle
from resqued.scheduler.enqueuer import ScheduleEnqueuer
from resqued.scheduler.mover import DelayedMover
from resqued.scheduler.parts import delayed_mover, schedule_enqueuer
from resqued.store.connection import SingleLink
from resqued.store.queue_tracking import QueueTracking
from resqued.store.redis_errors import untagged
from resqued.store.registry import Registry
from resqued.store.server_url import redact
from resqued.store.slots import slot_of_namespace
from resqued.system.poller import Poller
from resqued.system.process import Pid
from resqued.wire.keys import Keys
from resqued.wire.queue_list import QueueList

# How many paused queues the log names.
_NAMED = 20

Workers = Callable[[], Sequence[WorkerHandle]]


class NamespaceParts(Struct, frozen=True):
    """What the master has for one namespace: its connections, and who uses them."""

    link: SingleLink
    registry: Registry
    reclaimer: Reclaimer
    monitor: RedisMonitor
    watcher: QueueWatcher
    mover: DelayedMover
    enqueuer: ScheduleEnqueuer
    keeper: DelivererKeeper
    trimmer: FailureTrimmer
    publisher: RecordPublisher
    detail: DetailPublisher
    history: HistoryKeeper

    @property
    def _users(self) -> tuple[Part, ...]:
        """What has nothing to do while Redis is away, besides reclaimer and watcher."""
        published = (self.publisher, self.detail)
        producers = (self.mover, self.enqueuer, self.keeper)
        return (*producers, self.trimmer, self.history, *published)

    def turn(self, now: float, *, is_alone: bool) -> None:
        """Do what is due.

        Each try to reach a node that does not answer takes time. Where there are
        workers of other namespaces, only the monitor tries.
        """
        if is_alone or not self.monitor.is_down:
            self.reclaimer.turn(now)
        self.monitor.turn(now)
        if is_alone or not self.monitor.is_down:
            self.watcher.turn(now)
            for part in self._users:
                part.turn(now)

    def due(self, now: float, *, is_alone: bool) -> float:
        """Return when `turn` has something to do, besides `watch`."""
        due = self.monitor.due(now)
        if is_alone or not self.monitor.is_down:
            due = min(due, *(p.due(now) for p in (self.reclaimer, *self._users)))
        return due

    def watch_due(self, now: float, *, is_alone: bool) -> float:
        """Return when the watcher of the queues has something to do."""
        is_used = is_alone or not self.monitor.is_down
        return self.watcher.due(now) if is_used else NEVER

    def close(self) -> None:
        """Remove the record of this master, and close the connections."""
        if not self.monitor.is_down:
            self.publisher.close()
        self.keeper.close()
        self.trimmer.close()
        self.mover.close()
        self.enqueuer.close()
        self.watcher.close()
        self.link.close()

    def move(self, workers: Iterable[WorkerHandle]) -> None:
        """Follow the connection of the monitor, which has gone to another server."""
        self.mover.use(self.link.url)
        self.enqueuer.use(self.link.url)
        self.watcher.reconnect(self.link.url, workers)


class ServedNamespaces:
    """The namespaces that the workers of a master serve, as one part of its loop.

    The pools of the generations name them. A namespace that no pool names any longer is
    kept until its last worker has left or is reclaimed. `serving` and `workers` return
    the workers that take jobs, and all of them; the pool sets both. `facts` returns
    what is true of the master, and `status` its status as JSON; the master sets both.
    """

    def __init__(
        self, generations: GenerationManager, owner: str, poller: Poller, log: Logger
    ) -> None:
        self._generations = generations
        self._owner = owner
        self._poller = poller
        self._log = log
        self.serving: Workers = list
        self.workers: Workers = list
        self.facts: Callable[[float], MasterFacts | None] = lambda _: None
        self.status: Callable[[float], bytes] = lambda _: b""
        self._parts: dict[str, NamespaceParts] = {}
        self._configs = NamespaceConfigs(generations)
        # The generations whose namespaces are here.
        self._followed = (0, 0)
        # The namespaces where a queue is paused.
        self._has_paused: set[str] = set()
        # Whether a namespace is here that no configuration has any longer.
        self._has_former = False

    def of(self, namespace: str) -> NamespaceParts:
        """Return the parts of a namespace, which are made if they do not exist."""
        if namespace not in self._parts:
            config = self._generations.current.config
            parts = self._parts[namespace] = self._make(namespace, config)
            parts.history.workers = lambda: self._of(namespace, self.workers)
        return self._parts[namespace]

    def _make(self, namespace: str, config: Config) -> NamespaceParts:
        app, keys, log = config.app, Keys(namespace), self._log
        if app.names_namespace or namespace != app.namespace:
            log = log.bind(namespace=namespace)
        link = SingleLink(app.url, timeout=app.master_timeout, namespace=namespace)
        registry = Registry(link, keys, app.failure_place)
        reclaimer = Reclaimer(registry, self._owner, log, timings=app.timings)
        reclaimer.deaths = lambda: self._generations.incumbent.deaths
        reclaimer.knows_deaths = lambda: self._generations.incumbent.has_declared
        reclaimer.is_own = lambda worker: worker in self._own_ids(namespace)
        monitor = RedisMonitor(link, registry, log, app.timings)
        watcher = QueueWatcher(
            QueueTracking(app.url, keys, link, timeout=app.master_timeout),
            lambda: self._generations.incumbent.config.interval,
            lambda: self._of(namespace, self.serving),
            self._poller,
            log,
        )
        watcher.on_lost = monitor.check_soon
        source = self._configs.schedules_of(namespace)
        configured = partial(self._configs.of, namespace)
        parts = NamespaceParts(
            link,
            registry,
            reclaimer,
            monitor,
            watcher,
            delayed_mover(app, namespace, self._owner, self._poller, log),
            schedule_enqueuer(app, namespace, source, log),
            DelivererKeeper(configured, self._poller, log),
            FailureTrimmer(configured, log),
            RecordPublisher(link, namespace, app.timings, log),
            DetailPublisher(link, namespace, watcher.values, app.timings, self.status),
            HistoryKeeper(configured, registry, watcher.values, self._owner, log),
        )
        watcher.on_paused = lambda queues: self._announce(namespace, queues, log)
        watcher.on_emptied = parts.publisher.write_soon
        monitor.url = lambda: self._configs.url(namespace, link.url)
        monitor.on_moved = lambda: parts.move(self._of(namespace, self.workers))
        return parts

    def _own_ids(self, namespace: str) -> set[str]:
        """Return the ids of the workers, without those that Redis refused as taken."""
        own, refused = self._of(namespace, self.workers), SupervisedState.REFUSED
        return {worker.worker_id for worker in own if worker.state is not refused}

    def _of(self, namespace: str, workers: Workers) -> Sequence[WorkerHandle]:
        """Return the workers of a namespace."""
        every = workers()
        if len(self._parts) == 1:
            return every
        return [worker for worker in every if worker.pool.namespace == namespace]

    def follow(self) -> None:
        """Have the parts of each namespace that is served, and no others."""
        incumbent, current = self._generations.incumbent, self._generations.current
        if (incumbent.number, current.number) != self._followed or self._has_former:
            self._followed = (incumbent.number, current.number)
            configured = (*incumbent.config.namespaces, *current.config.namespaces)
            self._adjust(configured)

    def _adjust(self, configured: Sequence[str]) -> None:
        served = {worker.pool.namespace for worker in self.workers()}
        for name in dict.fromkeys((*configured, *served)):
            self.of(name)
        former = self._parts.keys() - configured
        for name in former - served:
            if not self._parts[name].reclaimer.is_busy:
                self._parts.pop(name).close()
        self._has_former = not self._parts.keys() <= set(configured)

    def check_servers(self) -> None:
        """Check that one namespace, at least, can be used; the others may come later.

        Raises what Registry.check_server raises.
        """
        self.follow()
        errors: list[StoreError] = []
        for parts in self._parts.values():
            try:
                parts.registry.check_server()
            except UnusableServerError:
                raise
            except StoreError as error:
                errors.append(error)
        if len(errors) == len(self._parts):
            raise errors[0]

    def refuse_unusable(self, config: Config) -> None:
        """Raise UnusableServerError for a namespace that its server can never have.

        Its workers could never register, so a reload to it would not end. A server that
        no namespace uses yet is asked; one that does not answer may be right later.
        """
        url, links = config.app.url, {n: p.link for n, p in self._parts.items()}
        here = {name for name, link in links.items() if link.url == url}
        if any(links[name].locator.is_cluster for name in here):
            for name in config.namespaces:
                if slot_of_namespace(name) is None:
                    raise untagged(f"redis at {redact(url)}", name)
        elif not here:
            refuse_unusable(config)

    def paused_queues(self, namespace: str) -> Collection[str] | None:
        """Return the paused queues of a namespace; None if they were not read yet."""
        parts = self._parts.get(namespace)
        return None if parts is None else parts.watcher.values.paused

    def _announce(
        self, namespace: str, queues: frozenset[str], own_log: Logger
    ) -> None:
        """Tell the workers of a namespace which queues are paused."""
        names = sorted(queues)[:_NAMED]
        if queues or namespace in self._has_paused:
            own_log.info("queues_paused", count=len(queues), queues=names)
        (self._has_paused.add if queues else self._has_paused.discard)(namespace)
        orders: dict[QueueList, PausedQueues] = {}
        for worker in self._of(namespace, self.workers):
            served = worker.served
            if served not in orders:
                orders[served] = PausedQueues(wakeups.paused_for(queues, served))
            worker.send(orders[served])

    def poll_now(self) -> None:
        """Make every watcher look at its queues at the next turn."""
        for parts in self._parts.values():
            parts.watcher.poll_now()

    def leave_lines(self) -> None:
        """Have other masters called for jobs, until the watchers connect again.

        The connections end with an exec, and their numbers would stay in the lines.
        """
        for parts in self._parts.values():
            parts.watcher.close()

    def on_exit(self, pid: Pid, how: Exit, now: float) -> None:
        """Note that a child was reaped, which may be a deliverer."""
        for parts in self._parts.values():
            parts.keeper.on_exit(pid, how, now)

    @property
    def is_busy(self) -> bool:
        """Whether a dead worker of this master is still to be reclaimed."""
        return any(parts.reclaimer.is_busy for parts in self._parts.values())

    def is_reclaiming(self, worker_id: str) -> bool:
        """Return True for a worker that has died and is still to be reclaimed."""
        return any(p.reclaimer.is_reclaiming(worker_id) for p in self._parts.values())

    def is_away(self, namespace: str) -> bool:
        """Return True if a namespace cannot be used at the moment, and others can."""
        errors = {name: parts.monitor.error for name, parts in self._parts.items()}
        return bool(errors.get(namespace)) and not all(errors.values())

    @property
    def error(self) -> str:
        """Why Redis cannot be used, and in which namespaces; "" if it can."""
        errors = {name: parts.monitor.error for name, parts in self._parts.items()}
        return "; ".join(where_they_are(errors))

    @property
    def problem(self) -> str:
        """The same in a few words, for titles; "" if Redis can be used."""
        found = {name: parts.monitor.problem for name, parts in self._parts.items()}
        return ", ".join(where_they_are(found))

    @property
    def primary(self) -> str:
        """The address of the primary, if it can move; "" if there are several."""
        found = {parts.monitor.primary for parts in self._parts.values()}
        return found.pop() if len(found) == 1 else ""

    def statuses(self, pools: Mapping[PoolKey, int]) -> tuple[NamespaceStatus, ...]:
        """Return the status of each namespace, with the wanted workers of its pools."""
        return tuple(
            NamespaceStatus(
                namespace=name,
                pools={p.queues: n for p, n in pools.items() if p.namespace == name},
                primary=parts.monitor.primary,
                redis_error=parts.monitor.error,
            )
            for name, parts in self._parts.items()
        )

    def turn(self, now: float) -> None:
        """Do what is due in each namespace."""
        self.follow()
        is_alone, facts = len(self._parts) == 1, self.facts(now)
        for parts in self._parts.values():
            parts.publisher.see(facts)
            parts.detail.see(facts)
            parts.turn(now, is_alone=is_alone)

    def due(self, now: float) -> float:
        """Return when `turn` has something to do, besides the watchers."""
        is_alone = len(self._parts) == 1
        return min(p.due(now, is_alone=is_alone) for p in self._parts.values())

    def watch_due(self, now: float) -> float:
        """Return when a watcher has something to do."""
        is_alone = len(self._parts) == 1
        return min(p.watch_due(now, is_alone=is_alone) for p in self._parts.values())

    def watch(self, now: float) -> bool:
        """Have the watchers act; return False if other parts have to act too."""
        every = [parts.watcher for parts in self._parts.values()]
        if not all(each.is_steady for each in every):
            return False
        for each in every:
            each.turn(now)
        return all(each.is_steady for each in every)

    def close(self) -> None:
        """Close all connections."""
        for parts in self._parts.values():
            parts.close()
