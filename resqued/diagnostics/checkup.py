"""The check of all that resqued needs on a host, part by part.

Changes nothing. app_checks, server_checks and host_checks judge the facts that are read
here. Each part has a time limit and runs in a thread, because a part that hangs in the
kernel must not delay the others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing

from msgspec import Struct, field
from msgspec.structs import replace

from resqued.client import Client
from resqued.config.environment import read_environment
from resqued.config.loader import Config
from resqued.control import requests, sockets
from resqued.control.requests import SilentMaster
from resqued.core.limits import Limits
from resqued.diagnostics import app_checks as application
from resqued.diagnostics import (
    app_import,
    host_checks,
    host_limits,
    server_checks,
    waiting_checks,
)
from resqued.diagnostics.checks import Finding, ok, problem, unchecked
from resqued.diagnostics.worker_status import worker_statuses
from resqued.errors import ConfigError, ResquedError
from resqued.store.job_queues import Queues
from resqued.store.server_facts import ServerFacts, examine
from resqued.store.server_url import redact
from resqued.wire import worker_entry

# The time limit of a part in seconds; on a healthy host every part is faster.
PATIENCE = 20.0

# The settings of the units of systemd, by the name of each.
UnitSettings = Mapping[str, Mapping[str, str]]


class Systemd(Struct, frozen=True):
    """The way to read the units of this host.

    `settings` returns their settings, and raises ResquedError if systemd cannot be
    asked. `pattern` is the pattern of their names, `patience` the seconds that reading
    them may take.
    """

    settings: Callable[[], UnitSettings]
    pattern: str
    patience: float


class CheckRun(Struct):
    """The findings of one part so far; `fault` is an exception of its code."""

    findings: list[Finding] = field(default_factory=list)
    fault: Exception | None = None


def check_up(
    path: str, read: Callable[[], Config], systemd: Systemd, *, may_import: bool
) -> Iterator[Finding]:
    """Yield the findings of all parts, each when its part has ended.

    `path` is the configuration file, "" without one; `read` returns the configuration
    or raises ConfigError. With `may_import` the application is imported, in a separate
    process.
    """
    config: Config | None = None
    try:
        config = read()
        problems: tuple[str, ...] = ()
    except ConfigError as error:
        problems = error.problems
    workers = config.workers if config else 0
    yield application.judge_configuration(path, problems, workers)
    if config is None:
        for check in ("redis", "registry", "application", "control", "machine"):
            yield unchecked(check, "the configuration is wrong")
        return
    yield from bounded("redis", lambda: _redis(config), late=redis_hangs)
    patience = config.start_timeout + PATIENCE
    yield from bounded(
        "application", lambda: _application(config, may_import=may_import), patience
    )
    yield from bounded("control", lambda: [_control(config)])
    yield from bounded("machine", lambda: _machine(config))
    yield from bounded("units", lambda: _units(config, systemd), systemd.patience)


def bounded(
    check: str,
    look: Callable[[], Iterable[Finding]],
    patience: float = PATIENCE,
    *,
    late: Callable[[str, str], Finding] = unchecked,
) -> list[Finding]:
    """Return the findings that a part makes within `patience` seconds.

    `late` returns the finding for a part that takes longer. ResquedError and OSError
    become findings; other exceptions of the part are raised.
    """
    answer = CheckRun()

    def run() -> None:
        try:
            for finding in look():
                answer.findings.append(finding)
        except ResquedError as error:
            answer.findings.append(unchecked(check, str(error)))
        except OSError as error:
            reason = f"{error.filename or ''} {error.strerror or error}".strip()
            answer.findings.append(unchecked(check, reason))
        except Exception as error:  # a bug: raised by `bounded`, not in this thread
            answer.fault = error

    # A part that hangs in the kernel must not delay the others, nor the exit.
    part = threading.Thread(target=run, daemon=True)
    part.start()
    part.join(patience)
    if answer.fault is not None:
        raise answer.fault
    found = list(answer.findings)
    if part.is_alive():
        found.append(late(check, f"no end within {patience:g} s"))
    return found


def redis_hangs(check: str, reason: str) -> Finding:
    """Return the finding that Redis did not answer in time."""
    return problem(check, reason, "see what is slow: the server, the way to it, DNS")


def _redis(config: Config) -> Iterator[Finding]:
    app = config.app
    namespaces = config.namespaces or (app.namespace,)
    first = yield from _server(config, namespaces[0])
    if first is None:
        return
    yield from server_checks.judge_url(app.url)
    yield from _registry(config, namespaces[0])
    for namespace in namespaces[1:]:
        # Each may be on another node of a cluster.
        if not first.cluster or (yield from _server(config, namespace)):
            yield from _registry(config, namespace)


def _server(
    config: Config, namespace: str
) -> Generator[Finding, None, ServerFacts | None]:
    """Yield the findings about the server of a namespace; return its facts."""
    app, place = config.app, redact(config.app.url)
    where = f"namespace {namespace}: " if app.names_namespace else ""
    try:
        server = examine(app.url, timeout=app.redis_timeout, namespace=namespace)
    except ResquedError as error:
        yield problem("redis", where + str(error), server_checks.way_out(str(error)))
        yield unchecked("registry", f"{where}redis does not answer as it should")
        return None
    where = where if server.cluster else ""
    yield ok("redis", f"{where}{place} answers in {server.round_trip * 1000:.1f} ms")
    for finding in server_checks.judge(server):
        yield replace(finding, text=where + finding.text)
    return server


def _registry(config: Config, namespace: str) -> Iterator[Finding]:
    try:
        registered = _registered(config, namespace)
    except ResquedError as error:
        findings: Iterable[Finding] = [unchecked("registry", str(error))]
    else:
        findings = (
            *server_checks.judge_registry(registered),
            _pauses(config, namespace),
            *server_checks.judge_schedulers(_locks(config, namespace)),
            _history(config, namespace),
            *waiting_checks.judge(waiting_checks.examine(config, namespace)),
        )
    where = f"namespace {namespace}: " if config.app.names_namespace else ""
    for finding in findings:
        yield replace(finding, text=where + finding.text)


def _registered(config: Config, namespace: str) -> server_checks.RegistryFacts:
    app = config.app
    link = Client(app.url, namespace=namespace, timeout=app.redis_timeout)
    by_state: dict[str, list[str]] = {}
    with closing(link) as client:
        for status in worker_statuses(client):
            by_state.setdefault(status.state, []).append(status.worker.id)
        now = client.registry.link.time()
        entries = client.registry.entries()
        ages = [(e, worker_entry.heartbeat_age(e.heartbeat, now)) for e in entries]
    ahead = [
        entry.worker_id
        for entry, age in ages
        if age is not None and age < -server_checks.FUTURE
    ]
    states = {state: tuple(ids) for state, ids in by_state.items()}
    return server_checks.RegistryFacts(states, tuple(ahead))


def _pauses(config: Config, namespace: str) -> Finding:
    app = config.app
    link = Client(app.url, namespace=namespace, timeout=app.redis_timeout)
    with closing(link) as client:
        queues = Queues(client.registry.link, client.registry.keys)
        return server_checks.judge_pauses(queues.paused(), is_all=queues.are_paused())


def _history(config: Config, namespace: str) -> Finding:
    app = config.app
    link = Client(app.url, namespace=namespace, timeout=app.redis_timeout)
    try:
        with closing(link) as client:
            return server_checks.judge_history(app.history, client.history.size())
    except ResquedError as error:
        return unchecked("history", str(error))


def _locks(config: Config, namespace: str) -> server_checks.SchedulerLocks:
    app = config.app
    link = Client(app.url, namespace=namespace, timeout=app.redis_timeout)
    with closing(link) as client:
        keys = client.registry.keys
        names = (
            keys.scheduler_lease,
            keys.ruby_scheduler_lock,
            keys.node_scheduler_lock,
        )
        found = client.registry.link.read_each([("GET", name) for name in names])
    texts = ((value or b"").decode("utf-8", "replace") for value in found)
    return server_checks.SchedulerLocks(*texts)


def _application(config: Config, *, may_import: bool) -> Iterable[Finding]:
    reason = ""
    if not config.app.modules:
        reason = "neither the configuration nor --app names its modules"
    elif not may_import:
        reason = "--no-import"
    if reason:
        return [unchecked(c, reason) for c in ("application", "threads", "sockets")]
    try:
        more = read_environment(config.environment)
    except ConfigError as error:
        remedy = "correct it: no generation can start"
        return [problem("application", str(error), remedy)]
    tried = app_import.attempt(
        config.app,
        environment={**os.environ, **more},
        timeout=config.start_timeout,
    )
    return application.judge(tried)


def _control(config: Config) -> Finding:
    place = sockets.directory(config.control, os.environ)
    reason = sockets.distrust(place)
    fault = f"{place} {reason}; choose another one" if reason else ""
    found = requests.masters([place])
    answers = requests.fetch_statuses(found)
    silent = {a.pid for a in answers if isinstance(a, SilentMaster)}
    unanswered = {*sockets.find(place)} - {address.path for address in found}
    unanswered |= {address.path for address in found if address.pid in silent}
    return application.judge_control(
        application.ControlDirectory(
            str(place),
            place.exists(),
            fault,
            masters=tuple(a.pid for a in found if a.pid not in silent),
            unanswered=tuple(sorted(map(str, unanswered))),
        )
    )


def _machine(config: Config) -> Iterator[Finding]:
    return host_checks.judge(host_limits.examine(), _plan(config))


def _plan(config: Config) -> host_checks.Plan:
    """Return the resources that the pools of the configuration need."""
    default = config.app.rules.default
    limits = [(p.workers, p.limits.with_fallback(default)) for p in config.pools]
    return host_checks.Plan(
        config.workers,
        memory=sum(workers * _memory(limit) for workers, limit in limits),
        is_limited=all(_memory(limit) for _, limit in limits),
    )


def _memory(limits: Limits) -> int:
    return limits.memory or 0


def _units(config: Config, systemd: Systemd) -> Iterator[Finding]:
    # Raises if systemd cannot be asked; the units are then not checked.
    found = systemd.settings()
    if not found:
        yield unchecked("units", f"systemd has no unit {systemd.pattern}")
    grace = config.app.grace + config.app.settle_grace
    for name, shown in found.items():
        yield from host_checks.judge_unit(name, shown, grace)
