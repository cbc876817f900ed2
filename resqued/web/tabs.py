"""The tabs in the header of each page, with what they count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from flask import current_app, request, url_for
from msgspec import Struct

from resqued.core.roles import VIEW
from resqued.errors import StoreError
from resqued.web.identity import current_user
from resqued.web.presence import Presence
from resqued.web.render import snapshot
from resqued.web.site import site
from resqued.web.snapshot import SiteSnapshot


class Tab(Struct, frozen=True):
    """A tab: its title and URL, and the number that it shows, if any."""

    title: str
    url: str
    count: int | None
    is_current: bool
    is_bad: bool = False


# Title, endpoint, and what it counts in a snapshot.
_TABS: tuple[tuple[str, str, Callable[[SiteSnapshot], int | None]], ...] = (
    ("Overview", "overview.show", lambda _: None),
    ("Queues", "queues.show_all", lambda now: now.pending),
    ("Working", "working.show_all", lambda now: now.working_count),
    ("Failed", "failed.show_all", lambda now: now.failures),
    ("Workers", "workers.show_all", lambda now: len(now.worker_ids)),
    ("Masters", "masters.show_all", lambda _: None),
    ("Delayed", "delayed.show_all", lambda _: None),
    ("Schedule", "schedule.show_all", lambda _: None),
    ("Retry", "retry.show_all", lambda _: None),
    ("Quarantine", "quarantine.show_all", lambda _: None),
    ("Stats", "stats.show", lambda _: None),
)

# Pages below the tab of another one.
_FAMILIES = {
    "queue": "queues",
    "queue_tasks": "queues",
    "why": "queues",
    **dict.fromkeys(
        ("stats", "keys", "charts", "about", "enqueue", "tasks", "audit"), "stats"
    ),
}

# Tabs that are shown only if their keys are there, and what tells so. A job that waits
# for another attempt is a delayed job.
_IF_PRESENT: Mapping[str, Callable[[Presence], int]] = {
    "delayed.show_all": lambda there: there.delayed_times,
    "retry.show_all": lambda there: there.delayed_times,
    "schedule.show_all": lambda there: there.schedules,
    "quarantine.show_all": lambda there: there.quarantined,
}


def _is_present(endpoint: str, there: Presence) -> bool:
    counted = _IF_PRESENT.get(endpoint)
    return counted is None or bool(counted(there))


def tabs() -> list[Tab]:
    """Return the tabs for the present user; none before a login."""
    user = current_user()
    if user is None or not user.may(VIEW):
        return []
    try:
        now = snapshot()
    except StoreError:
        now = None
    there = site().facts.presence.value_or(Presence())
    return [
        Tab(
            title,
            url_for(endpoint),
            count,
            is_current=_is_current(endpoint),
            is_bad=bool(title == "Failed" and count),
        )
        for title, endpoint, count in _counted(now)
        if endpoint in current_app.view_functions
        if _is_current(endpoint) or _is_present(endpoint, there)
    ]


def _counted(
    now: SiteSnapshot | None,
) -> Iterator[tuple[str, str, int | None]]:
    """Yield title, endpoint and number of each tab; None if it cannot be read."""
    for title, endpoint, counted in _TABS:
        try:
            yield title, endpoint, counted(now) if now else None
        except StoreError:
            yield title, endpoint, None


def _is_current(endpoint: str) -> bool:
    """Return True if the page of the request is below a tab."""
    module = (request.endpoint or "").partition(".")[0]
    path = request.script_root + request.path
    is_family = _FAMILIES.get(module) == endpoint.partition(".")[0]
    return is_family or f"{path}/".startswith(f"{url_for(endpoint)}/")
