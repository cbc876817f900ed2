"""Every route, with the capability that it needs; nothing else registers one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resqued.core import roles
from resqued.web import (
    health_page,
    keys_page,
    login_page,
    masters_page,
    metrics_page,
    overview_page,
    poll_page,
    queues_page,
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
