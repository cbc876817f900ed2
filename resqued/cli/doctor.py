"""`resqued doctor`: is everything here as resqued needs it?

Looks and changes nothing; core.checkup judges. Each part is looked at for so long
and no longer, and what could not be seen is said.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import click

from resqued.cli.options import app_option, json_option, redis_options
from resqued.cli.table import show_json, show_line
from resqued.client import Client
from resqued.config import loader as configuration
from resqued.config.environment import read_environment
from resqued.config.layers import read_layers
from resqued.config.loader import Config
from resqued.control import requests, sockets
from resqued.core.limits import Limits
from resqued.diagnostics import app_checks as application
from resqued.diagnostics import app_import, host_checks, host_limits, server_checks
from resqued.diagnostics.checks import Finding, Verdict, ok, problem, unchecked
from resqued.diagnostics.worker_status import worker_statuses
from resqued.errors import ConfigError, ControlError, ExitCode, ResquedError
from resqued.store.connection import redact
from resqued.store.server_facts import examine
from resqued.systemd import units
from resqued.systemd.units import UnitError
from resqued.wire import worker_entry

EXAMPLES = """
\b
Examples:
  resqued doctor
  resqued doctor -c /etc/resqued/resqued.toml --json
  resqued doctor --no-import

\b
Run it as the user, and with the environment, that the master has.
"""
# What no part takes, on a host that is well.
PATIENCE = 20.0


@dataclass(slots=True)
class CheckRun:
    """What one part has found so far."""

    findings: list[Finding] = field(default_factory=list)
    fault: Exception | None = None


@click.command(epilog=EXAMPLES)
@app_option
@click.option("--no-import", is_flag=True, help="Do not import the application.")
@json_option
@redis_options
def doctor(
    modules: tuple[str, ...],
    no_import: bool,
    as_json: bool,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> int:
    """Check Redis, the configuration, the application and this machine.

    One line for each check, with what to do. Exits with 1 if there is a problem;
    a warning is none.
    """
    findings: list[Finding] = []
    given = {
        "redis": {"url": url, "namespace": namespace},
        "app": {"import": list(modules) or None},
    }
    for finding in _findings(config_file, given, may_import=not no_import):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        show_json([{**asdict(f), "verdict": f.verdict.value} for f in findings])
    is_ill = any(finding.verdict is Verdict.PROBLEM for finding in findings)
    return int(ExitCode.FAILED if is_ill else ExitCode.OK)


def _show(finding: Finding) -> None:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    word = finding.verdict.value
    show_line(f"{word:<11}  {finding.check}: {finding.text}{remedy}")


def _findings(
    config_file: str | None, given: dict[str, Any], *, may_import: bool
) -> Iterator[Finding]:
    config: Config | None = None
    path = configuration.file_in_use(config_file, os.environ)
    try:
        config = configuration.build(read_layers(config_file, given).merged())
        problems: tuple[str, ...] = ()
    except ConfigError as error:
        problems = error.problems
    workers = config.workers if config else 0
    yield application.judge_configuration(str(path or ""), problems, workers)
    if config is None:
        for check in ("redis", "registry", "application", "control", "machine"):
            yield unchecked(check, "the configuration is wrong")
        return
    yield from _bounded("redis", lambda: _redis(config), late=_redis_hangs)
    patience = config.start_timeout + PATIENCE
    yield from _bounded(
        "application", lambda: _application(config, may_import=may_import), patience
    )
    yield from _bounded("control", lambda: [_control(config)])
    yield from _bounded("machine", lambda: _machine(config))
    yield from _bounded("units", lambda: _units(config), 4 * units.PATIENCE)


def _bounded(
    check: str,
    look: Callable[[], Iterable[Finding]],
    patience: float = PATIENCE,
    *,
    late: Callable[[str, str], Finding] = unchecked,
) -> list[Finding]:
    """Return what a part finds, as far as it gets in so many seconds."""
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
        except Exception as error:  # ours: told by who waits for this thread
            answer.fault = error

    # One that hangs in the kernel must not keep the others, nor the end.
    part = threading.Thread(target=run, daemon=True)
    part.start()
    part.join(patience)
    if answer.fault is not None:
        raise answer.fault
    found = list(answer.findings)
    if part.is_alive():
        found.append(late(check, f"no end within {patience:g} s"))
    return found


def _redis_hangs(check: str, reason: str) -> Finding:
    return problem(check, reason, "see what is slow: the server, the way to it, DNS")


def _redis(config: Config) -> Iterator[Finding]:
    app, place = config.app, redact(config.app.url)
    try:
        server = examine(app.url, timeout=app.redis_timeout)
    except ResquedError as error:
        yield problem(
            "redis", str(error), "start it, or name another one in [redis] url"
        )
        yield unchecked("registry", "redis does not answer as it should")
        return
    yield ok("redis", f"{place} answers in {server.round_trip * 1000:.1f} ms")
    yield from server_checks.judge(server)
    try:
        registered = _registered(config)
    except ResquedError as error:
        yield unchecked("registry", str(error))
        return
    yield from server_checks.judge_registry(registered)


def _registered(config: Config) -> server_checks.Registered:
    app = config.app
    link = Client(app.url, namespace=app.namespace, timeout=app.redis_timeout)
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
    return server_checks.Registered(states, tuple(ahead))


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
        remedy = "mend it: no generation can start"
        return [problem("application", str(error), remedy)]
    tried = app_import.attempt(
        config.app,
        environment={**os.environ, **more},
        timeout=config.start_timeout,
    )
    return application.judge(tried)


def _control(config: Config) -> Finding:
    place = sockets.directory(config.control, os.environ)
    try:
        exists, fault = sockets.is_prepared(place), ""
    except ControlError as error:
        exists, fault = True, str(error)
    found = requests.masters([place])
    told = requests.fetch_statuses(found)
    silent = {status["pid"] for status in told if "error" in status}
    unanswered = {*sockets.find(place)} - {address.path for address in found}
    unanswered |= {address.path for address in found if address.pid in silent}
    return application.judge_control(
        application.ControlDirectory(
            str(place),
            exists,
            fault,
            masters=tuple(a.pid for a in found if a.pid not in silent),
            unanswered=tuple(sorted(map(str, unanswered))),
        )
    )


def _machine(config: Config) -> Iterator[Finding]:
    return host_checks.judge(host_limits.examine(), _plan(config))


def _plan(config: Config) -> host_checks.Plan:
    """Return what the pools of the configuration want of the machine."""
    default = config.app.rules.default
    limits = [(p.workers, p.limits.with_fallback(default)) for p in config.pools]
    return host_checks.Plan(
        config.workers,
        memory=sum(workers * _memory(limit) for workers, limit in limits),
        is_limited=all(_memory(limit) for _, limit in limits),
    )


def _memory(limits: Limits) -> int:
    return limits.memory or 0


def _units(config: Config) -> Iterator[Finding]:
    try:
        found = units.settings()
    except UnitError as error:
        yield unchecked("units", str(error))
        return
    if not found:
        yield unchecked("units", f"systemd has no unit {units.PATTERN}")
    grace = config.app.grace + config.app.settle_grace
    for name, shown in found.items():
        yield from host_checks.judge_unit(name, shown, grace)
