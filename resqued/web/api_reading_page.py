"""The JSON API, as far as it reads; web/static/openapi.yaml describes it."""

from __future__ import annotations

import re
import time
from itertools import islice
from pathlib import Path
from typing import Any

from flask import Response
from msgspec.structs import asdict, replace

from resqued.config.loader import build
from resqued.core.list_places import read_place
from resqued.core.version import VERSION
from resqued.diagnostics.explain import explain
from resqued.diagnostics.queue_facts import FactGatherer, Query
from resqued.errors import ArgumentError, ResquedError, StoreError
from resqued.scheduler.published_schedule import published
from resqued.store.history import RANGES
from resqued.store.master_records import MasterRecords
from resqued.store.recurring import RecurringJobs
from resqued.store.seen_bound import SeenBound
from resqued.store.waiting_retries import WaitingRetries
from resqued.web import api_shapes, audit
from resqued.web.api_answers import (
    FARTHEST,
    LONGEST_NAME,
    after,
    answer,
    fresh_snapshot,
    named,
    queries,
    queue_size,
    refuse,
)
from resqued.web.api_filters import CONDITIONS, choice_in, which_of
from resqued.web.failure_search import by_id
from resqued.web.site import site
from resqued.wire.keys import FAILED, prefix_of

_DESCRIPTION = Path(__file__).parent / "static" / "openapi.yaml"
_PLACE = re.compile(r"\d{1,15}-\d{1,10}", re.ASCII)
# How far a class is searched for.
_SEARCH = (5_000, 50, 100, 64 << 20)
# How many delayed jobs are looked at for those that wait for another attempt.
_LOOK = 10_000


def describe() -> Response:
    """Answer with the description of the API, for programs and their makers."""
    queries()
    return Response(_DESCRIPTION.read_text("utf-8"), mimetype="application/yaml")


def status() -> Response:
    """Answer with the counters of the namespace, and whether all workers are paused."""
    queries()
    now = fresh_snapshot()
    return answer(
        {
            "version": VERSION,
            **named(site().settings.namespace, "namespace"),
            **now.counters.as_dict(),
            "queues": len(now.queues),
            "workers": len(now.worker_ids),
            "working": now.working_count,
            "paused": now.are_paused,
            "paused_queues": len(now.paused_queues),
            "read_at": round(now.taken_at, 3),
        }
    )


def queues() -> Response:
    """Answer with the queues, sorted by name."""
    asked = queries("q", "limit", "after")
    now = fresh_snapshot()
    paused = now.paused_queues
    names = sorted(n for n in {*now.queues, *paused} if asked["q"] in n)
    page = after(names, str, asked.limit)
    return answer(
        {
            "queues": [
                {
                    **named(name),
                    "size": now.queues.get(name, 0),
                    "paused": name in paused,
                }
                for name in page["items"]
            ],
            "total": len(names),
            "next": page["next"],
        }
    )


def jobs() -> Response:
    """Answer with the jobs that wait in a queue, the next one first."""
    asked = queries("name", "name64", "limit", "after")
    name = asked.name()
    start = asked.number("after", 0, FARTHEST, least=0)
    size = queue_size(name)
    room = 8 << 20
    found: list[dict[str, Any]] = []
    for raw in islice(_peeked(name, start, asked.limit), asked.limit):
        found.append(api_shapes.queued(raw, start + len(found) + 1))
        room -= len(raw)
        if room <= 0:
            break
    end = start + len(found)
    following = str(end) if found and end < size else None
    return answer({**named(name), "size": size, "jobs": found, "next": following})


def _peeked(name: str, start: int, count: int) -> Any:
    """Yield payloads from a place, read in small steps: each may be large."""
    for first in range(start, start + count, 20):
        page = site().queues.peek(name, first, min(20, start + count - first))
        yield from page
        if len(page) < 20:
            return


def workers() -> Response:
    """Answer with the registered workers, sorted by id."""
    asked = queries("state", "limit", "after")
    state = asked["state"]
    found = [w for w in fresh_snapshot().workers if state in ("", w.state)]
    found.sort(key=lambda each: each.worker.id)
    page = after(found, lambda each: each.worker.id, asked.limit)
    shown = [api_shapes.worker(each) for each in page["items"]]
    return answer({"workers": shown, "total": len(found), "next": page["next"]})


def working() -> Response:
    """Answer with the workers that run a job, the one with the oldest job first."""
    asked = queries("limit")
    found = fresh_snapshot().working
    local = site().local.get() if found else {}
    shown = []
    for each in found[: asked.limit]:
        here = local.get(each.worker.id)
        child = here.child if here else None
        shown.append({**api_shapes.worker(each), "child": child})
    return answer({"workers": shown, "total": len(found)})


def masters() -> Response:
    """Answer with the records of the masters of all hosts."""
    queries()
    found = MasterRecords(site().client.registry.link, site().keys).read()
    shown = [{**record.as_dict(), **named(record.id, "id")} for record in found]
    return answer({"masters": shown})


def failures() -> Response:
    """Answer with the failures of a list that a filter has, the newest first."""
    asked = queries("list", "list64", *CONDITIONS, "before", "limit")
    sent = asked["list"] or asked["list64"]
    name = asked.name("list") if sent else FAILED
    counts = site().client.failures.counts()
    if name not in counts:
        refuse(404, f"there is no list {name[:100]!r}: {', '.join(counts)[:500]}")
    place = read_place(asked["before"])
    if asked["before"] and place is None:
        refuse(422, "before is no cursor: take that of `next`")
    sent_conditions = {each: asked[each] for each in CONDITIONS}
    which = which_of(choice_in(sent_conditions, CONDITIONS))
    # The end is seen before the page: what fails in between is not meant.
    link, key = site().client.registry.link, f"{prefix_of(site().keys)}{name}"
    seen = SeenBound.now(link, key)
    found = site().client.failures.in_list(name)
    limit = asked.short_limit
    page = found.matching(which, limit, place=place)
    is_last = page.span.is_oldest or page.last is None
    return answer(
        {
            **named(name, "list"),
            "failures": [api_shapes.failed(each) for each in page.failures],
            "total": page.span.total,
            "lists": [{**named(n, "list"), "size": c} for n, c in counts.items()],
            "up_to": {name: str(seen)},
            "next": None if is_last else str(page.last),
        }
    )


def failure(failure_id: str) -> Response:
    """Answer with one failure, among the newest 10,000 of each list."""
    queries()
    found = by_id(failure_id[:LONGEST_NAME])
    if found.failure is None:
        where = " among the newest of its list" if found.is_partial else ""
        refuse(404, f"there is no failure {failure_id[:40]!r}{where}")
    shown = api_shapes.failed(found.failure)
    return answer({**shown, "retried_since": found.is_retried_since})


def why() -> Response:
    """Answer with what keeps the jobs of a queue or of a class from running."""
    name = queries("name", "name64").name()
    try:
        own = site().settings
        config = build({"redis": {"url": own.url, "namespace": own.namespace}})
        config = replace(config, pools=(), control=own.control)
        gatherer = FactGatherer(site().client, config, is_import_allowed=False)
        found = list(gatherer.answers(Query(name, None, *_SEARCH)))
    except StoreError:
        raise
    except ResquedError as error:
        refuse(404, str(error))
    return answer(
        {
            "answers": [
                {**f.as_dict(explain(f)), **named(f.queue, "queue")} for f in found
            ]
        }
    )


def history() -> Response:
    """Answer with a series, or without one with the names that have series."""
    asked = queries("series", "class", "queue", "range", "from", "step")
    first = asked.number("from", 0, _LATEST, least=0)
    span = asked.choice("range", tuple(RANGES)) or _range_from(first)
    if first and asked["range"]:
        refuse(422, "a series has a range or from, not both")
    own = site().client.history
    value, of_class, of_queue = asked["series"], asked["class"], asked["queue"]
    if not value:
        return answer({"range": span, **asdict(own.names(span))})
    step = asked.number("step", 0, 100 * 86_400, least=0) or None
    try:
        if of_class and of_queue:
            refuse(422, "a series is of a class or of a queue")
        if of_class:
            found = own.of_class(of_class, value, span, step)
        elif of_queue:
            found = own.of_queue(of_queue, value, span, step)
        else:
            found = own.total(value, span, step)
    except ArgumentError as error:
        refuse(422, str(error))
    scope = {"class": of_class or None, "queue": of_queue or None}
    left_out = max(0, (first - found.start) // found.step)
    start, values = found.start + left_out * found.step, found.values[left_out:]
    shown = {"start": start, "step": found.step, "values": values}
    return answer({"series": value, **scope, "range": span, **shown})


# A time of the year 5138, in seconds since the epoch.
_LATEST = 99_999_999_999


def _range_from(first: int) -> str:
    """Return the shortest range that has a time; the usual one for 0."""
    if not first:
        return "24h"
    past = time.time() - first
    for name, (seconds, _) in RANGES.items():
        if 0 <= past <= seconds:
            return name
    return refuse(422, f"from={first} is no time of the last 90 days, in seconds")


def _window() -> tuple[int, int]:
    """Return where the page begins that a request wants, and how long it is."""
    asked = queries("limit", "after")
    return asked.number("after", 0, FARTHEST, least=0), asked.short_limit


def _page(name: str, found: list[Any], start: int, limit: int) -> Response:
    following = str(start + limit) if len(found) > limit else None
    return answer({name: found[:limit], "next": following})


def delayed() -> Response:
    """Answer with the jobs that wait for a time, those first that are due first."""
    start, limit = _window()
    found = site().client.delayed.page(start, limit + 1)
    return _page("jobs", [api_shapes.delayed(each) for each in found], start, limit)


def retries() -> Response:
    """Answer with the jobs that wait for another attempt, among the next 10,000."""
    start, limit = _window()
    client = site().client
    jobs = client.delayed.page(0, _LOOK)
    waiting = WaitingRetries(client.registry.link, site().keys, client.delayed)
    found = list(islice(waiting.among(jobs), start, start + limit + 1))
    shown = [api_shapes.waiting_retry(each) for each in found]
    return _page("jobs", shown, start, limit)


def schedules() -> Response:
    """Answer with the recurring jobs of all masters."""
    queries()
    link = site().client.registry.link
    found = published(RecurringJobs(link, site().keys), link.time())
    return answer({"schedules": [api_shapes.schedule(each) for each in found]})


def quarantine() -> Response:
    """Answer with the jobs that were set aside, the newest first."""
    start, limit = _window()
    found = site().client.quarantine.page(start, limit + 1)
    return _page("jobs", [api_shapes.quarantined(e) for e in found], start, limit)


def actions() -> Response:
    """Answer with what users have done, the newest first."""
    asked = queries("limit", "before")
    before, limit = asked["before"], asked.limit
    if before and not _PLACE.fullmatch(before):
        refuse(422, "before is no cursor: take that of `next`")
    found = list(islice(audit.newest_first(before, limit + 1), limit + 1))
    shown = [asdict(each) for each in found[:limit]]
    following = shown[-1]["place"] if len(found) > limit else None
    return answer({"actions": shown, "next": following})
