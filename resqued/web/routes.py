"""Every route, with the capability that it needs; nothing else registers one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resqued.core import roles
from resqued.web import (
    about_page,
    charts_page,
    delayed_page,
    enqueue_page,
    health_page,
    keys_page,
    login_page,
    masters_page,
    metrics_page,
    overview_page,
    poll_page,
    quarantine_page,
    queues_page,
    retry_page,
    schedule_page,
    stats_page,
)

View = Callable[..., Any]
GET, POST = ("GET",), ("POST",)


@dataclass(frozen=True, slots=True)
class Route:
    """A path, the view that answers there, and the capability that it needs.

    `capability` is None for what everybody may see, such as the login page.
    The endpoint is the name of the page and of the function, as in `queues.show`.
    """

    path: str
    view: View
    capability: str | None = roles.VIEW
    methods: tuple[str, ...] = GET

    @property
    def endpoint(self) -> str:
        """The name of the route in url_for."""
        module = self.view.__module__.rpartition(".")[2]
        return f"{module.removesuffix('_page')}.{self.view.__name__}"


ROUTES = (
    Route("/", overview_page.index),
    Route("/overview", overview_page.show),
    Route("/search", overview_page.find),
    Route("/queues", queues_page.show_all),
    Route("/queues/<path:name>", queues_page.show),
    Route("/masters", masters_page.show_all),
    Route("/masters/<path:name>", masters_page.show),
    Route("/masters/<path:name>", masters_page.act, roles.CONTROL, POST),
    Route("/delayed", delayed_page.show_all),
    Route("/delayed/act", delayed_page.act, roles.JOB, POST),
    Route("/delayed/clear", delayed_page.ask_to_clear, roles.ADMIN),
    Route("/delayed/clear", delayed_page.clear, roles.ADMIN, POST),
    Route("/delayed/<path:name>", delayed_page.show_time),
    Route("/schedule", schedule_page.show_all),
    Route("/schedule/act", schedule_page.act, roles.JOB, POST),
    Route("/retry", retry_page.show_all),
    Route("/retry/act", retry_page.act, roles.JOB, POST),
    Route("/quarantine", quarantine_page.show_all),
    Route("/quarantine/<job_id>", quarantine_page.show),
    Route("/quarantine/release", quarantine_page.release, roles.RETRY, POST),
    Route("/quarantine/remove", quarantine_page.remove, roles.REMOVE, POST),
    Route("/charts", charts_page.show),
    Route("/enqueue", enqueue_page.show, roles.JOB),
    Route("/enqueue/like/<path:name>", enqueue_page.show_queued, roles.JOB),
    Route("/enqueue", enqueue_page.enqueue, roles.JOB, POST),
    Route("/about", about_page.show),
    Route("/stats", stats_page.show),
    Route("/stats/resque", stats_page.resque),
    Route("/stats/redis", stats_page.server),
    Route("/stats.txt", stats_page.text),
    Route("/stats/keys", keys_page.show_all, roles.ADMIN),
    Route("/stats/keys/<path:name>", keys_page.show, roles.ADMIN),
    Route("/<any(overview, queues, working, workers):name>.poll", poll_page.show),
    Route("/stats/<any(resque, redis):name>.poll", poll_page.show),
    Route("/stats/keys.poll", poll_page.show_keys, roles.ADMIN),
    Route("/metrics", metrics_page.show, roles.METRICS),
    Route("/healthz", health_page.healthz, None),
    Route("/readyz", health_page.readyz, None),
    Route("/login", login_page.show, None),
    Route("/login", login_page.enter, None, POST),
    Route("/logout", login_page.leave, None, POST),
)
