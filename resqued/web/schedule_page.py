"""Recurring jobs: when they are enqueued; enqueue now, switch off and on, remove."""

from __future__ import annotations

from datetime import datetime

from flask import Response, abort, request, url_for
from msgspec import Struct
from werkzeug.wrappers import Response as BaseResponse

from resqued.scheduler.published_schedule import PublishedSchedule, all_schedules
from resqued.store.recurring import RecurringJobs
from resqued.web import acting, audit
from resqued.web.coded_names import encoded_name
from resqued.web.formats import EMPTY, decoded_name
from resqued.web.paging import page_of, pages_of
from resqued.web.render import page
from resqued.web.site import site
from resqued.wire import timestamps

_PER_PAGE = 100


class ScheduleRow(Struct, frozen=True):
    """A recurring job as a row: `token` is its name as forms carry it."""

    view: PublishedSchedule
    token: str
    last_at: datetime | None


def _jobs() -> RecurringJobs:
    return RecurringJobs(site().client.registry.link, site().keys)


def show_all() -> Response:
    """Show all recurring jobs, sorted by name."""
    found = _schedules()
    rows = [_row(view) for view in page_of(found, _PER_PAGE)]
    return page("schedule.html", rows=rows, pages=pages_of(len(found), _PER_PAGE))


def _schedules() -> list[PublishedSchedule]:
    return all_schedules(_jobs(), site().client.registry.link.time())


def _row(view: PublishedSchedule) -> ScheduleRow:
    token = encoded_name(view.name) or EMPTY
    return ScheduleRow(view, token, timestamps.read(view.last))


def act() -> BaseResponse:
    """Enqueue, enable, disable or remove a recurring job."""
    action, _, token = request.form.get("one", "").partition(" ")
    name = decoded_name(token)
    found = {view.name: view for view in _schedules()}
    if name not in found:
        abort(404, f"there is no recurring job {name[:200]!r} any more")
    if action not in _ACTIONS:
        abort(400, f"{action[:40]!r} is no action: {', '.join(_ACTIONS)}")
    message, kind = _ACTIONS[action](found[name])
    audit.record(action, f"recurring job {name}", result=message)
    site().keeper.forget()
    site().facts.presence.forget()
    return acting.done(message, url_for("schedule.show_all"), kind)


def _run(view: PublishedSchedule) -> tuple[str, acting.Kind]:
    found = view.schedule
    if found is None:
        return f"{view.name} cannot be read", "bad"
    site().client.enqueue_to(found.queue, found.class_name, *found.args)
    return f"enqueued {found.class_name} of {view.name} on {found.queue}", "good"


def _enable(view: PublishedSchedule) -> tuple[str, acting.Kind]:
    changed = _jobs().enable(view.name)
    words = "enabled" if changed else "enabled already"
    return f"{view.name} is {words}: it is enqueued from its next time on", "good"


def _disable(view: PublishedSchedule) -> tuple[str, acting.Kind]:
    changed = _jobs().disable(view.name)
    words = "disabled" if changed else "disabled already"
    return f"{view.name} is {words}: no host enqueues it", "good"


def _remove(view: PublishedSchedule) -> tuple[str, acting.Kind]:
    if view.is_dynamic:
        _jobs().remove_dynamic(view.name)
        return f"removed {view.name}", "good"
    _jobs().remove(view.name)
    return f"removed {view.name}, until a master that has it publishes it again", "warn"


_ACTIONS = {"run": _run, "enable": _enable, "disable": _disable, "remove": _remove}
