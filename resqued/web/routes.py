"""Every route, with the capability that it needs; nothing else registers one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resqued.core import roles
from resqued.web import (
    audit_page,
    clearing_page,
    failed_acts_page,
    failed_page,
    failure_page,
    health_page,
    login_page,
    metrics_page,
    overview_page,
    queues_page,
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
    Route("/metrics", metrics_page.show, roles.METRICS),
    Route("/failed", failed_page.show_all),
    Route("/failed/<path:name>", failed_page.show_named),
    Route("/failed/requeue/<number>", failed_page.refuse_get),
    Route("/failed/remove/<number>", failed_page.refuse_get),
    Route("/failed/<failure_id>/raw", failure_page.raw, roles.VIEW_ARGS),
    Route("/failed/retry", failed_acts_page.retry, roles.RETRY, POST),
    Route("/failed/retry_remove", failed_acts_page.retry_and_remove, roles.RETRY, POST),
    Route("/failed/remove", failed_acts_page.remove, roles.REMOVE, POST),
    Route("/failed/clear", clearing_page.ask_clear, roles.ADMIN),
    Route("/failed/clear", clearing_page.clear, roles.ADMIN, POST),
    Route("/failed/clear_retried", clearing_page.ask_clear_retried, roles.REMOVE),
    Route("/failed/clear_retried", clearing_page.clear_retried, roles.REMOVE, POST),
    Route("/failed/requeue/all", clearing_page.ask_retry_all, roles.RETRY),
    Route("/failed/requeue/all", clearing_page.retry_all, roles.RETRY, POST),
    Route("/audit", audit_page.show_all),
    Route("/healthz", health_page.healthz, None),
    Route("/readyz", health_page.readyz, None),
    Route("/login", login_page.show, None),
    Route("/login", login_page.enter, None, POST),
    Route("/logout", login_page.leave, None, POST),
)
