"""Findings about jobs and failures that wait: delayed, set aside, to be delivered.

The facts are read in pages; the newest or next ones tell enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime

from msgspec import Struct

from resqued.client import Client
from resqued.config.loader import Config
from resqued.core.durations import show_seconds
from resqued.core.plural import pluralize
from resqued.diagnostics.checks import Finding, ok, warning
from resqued.store.delayed import PAGE
from resqued.store.outbox import OutboxState, outbox_states
from resqued.store.waiting_retries import WaitingRetries

# An outbox is long if the oldest failure in it has waited for so many seconds, or if
# it has so many failures.
LATE = 300.0
LONG = 1_000
# Of an error in a line, in characters.
_SHOWN = 200


class WaitingFacts(Struct, frozen=True):
    """What waits in a namespace; times are seconds since the epoch, None if not known.

    `delayed` counts the delayed jobs, PAGE of them at most; `retries` of them wait for
    another attempt, the next one after `retry_error`. `quarantined_at` is when the
    newest was set aside, `killer` its class. `now` is the time of the server.
    """

    now: float
    delayed: int = 0
    next_at: float | None = None
    retries: int = 0
    next_retry_at: float | None = None
    retry_error: str = ""
    quarantined: int = 0
    quarantined_at: float | None = None
    killer: str = ""
    outboxes: Sequence[OutboxState] = ()


def examine(config: Config, namespace: str) -> WaitingFacts:
    """Read what waits in a namespace; raise StoreError."""
    app = config.app
    link = Client(app.url, namespace=namespace, timeout=app.redis_timeout)
    with closing(link) as client:
        server, keys = client.registry.link, client.registry.keys
        jobs = client.delayed.page(count=PAGE)
        retries = list(WaitingRetries(server, keys, client.delayed).among(jobs))
        newest = client.quarantine.page(count=1)
        return WaitingFacts(
            now=server.time(),
            delayed=len(jobs),
            next_at=_seconds(jobs[0].due_at) if jobs else None,
            retries=len(retries),
            next_retry_at=_seconds(retries[0].job.due_at) if retries else None,
            retry_error=retries[0].error if retries else "",
            quarantined=client.quarantine.count(),
            quarantined_at=_seconds(newest[0].quarantined_at) if newest else None,
            killer=newest[0].class_name if newest else "",
            outboxes=list(outbox_states(server, keys, app.failure_place.outboxes)),
        )


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def judge(facts: WaitingFacts) -> Iterator[Finding]:
    """Yield the findings."""
    yield _delayed(facts)
    if facts.quarantined:
        when = _ago(facts, facts.quarantined_at)
        yield warning(
            "quarantine",
            f"{pluralize(facts.quarantined, 'job')} set aside, the last one of"
            f" {facts.killer}{when}: they have killed their child or worker several"
            " times in a row",
            "`resqued quarantine show ID` shows how; then release or remove them",
        )
    for outbox in facts.outboxes:
        yield _outbox(facts, outbox)


def _delayed(facts: WaitingFacts) -> Finding:
    if not facts.delayed:
        return ok("delayed", "no job waits for a time")
    more = " or more" if facts.delayed == PAGE else ""
    text = f"{pluralize(facts.delayed, 'job')}{more} delayed"
    text += _due(facts, facts.next_at)
    if facts.retries:
        error = " ".join(facts.retry_error.split())[:_SHOWN]
        text += f"; {facts.retries} of them wait for another attempt"
        text += _due(facts, facts.next_retry_at) + (f" after {error}" if error else "")
    return ok("delayed", text)


def _due(facts: WaitingFacts, at: float | None) -> str:
    if at is None:
        return ""
    left = at - facts.now
    return f", the next one {f'in {show_seconds(left)}' if left > 0 else 'now'}"


def _ago(facts: WaitingFacts, at: float | None) -> str:
    return "" if at is None else f" {show_seconds(max(0.0, facts.now - at))} ago"


def _outbox(facts: WaitingFacts, outbox: OutboxState) -> Finding:
    check, name = "failure back ends", outbox.backend
    at = _seconds(outbox.oldest_at)
    age = 0.0 if at is None else facts.now - at
    lost = f"; {pluralize(outbox.dropped, 'failure')} lost" if outbox.dropped else ""
    if outbox.waiting < LONG and age < LATE and not lost:
        return ok(check, f"{name}: {pluralize(outbox.waiting, 'failure')} to deliver")
    since = f"; the oldest waits for {show_seconds(age)}" if age > 0 else ""
    count = pluralize(outbox.waiting, "failure")
    return warning(
        check,
        f"{name} has not taken {count}{since}{lost}",
        "`resqued logs` has delivery_failed with the reason; correct [failure], see"
        " whether the service answers, or take it out of [failure] backends and delete"
        f" the key resqued:outbox:{name}",
    )
