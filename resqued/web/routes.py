"""Every route, with the capability that it needs; nothing else registers one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resqued.core import roles
from resqued.web import (
    api_acting_page,
    api_reading_page,
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
    Route("/api/v1/openapi.yaml", api_reading_page.describe),
    Route("/api/v1/status", api_reading_page.status),
    Route("/api/v1/queues", api_reading_page.queues),
    Route("/api/v1/queues/jobs", api_reading_page.jobs),
    Route("/api/v1/workers", api_reading_page.workers),
    Route("/api/v1/working", api_reading_page.working),
    Route("/api/v1/masters", api_reading_page.masters),
    Route("/api/v1/failures", api_reading_page.failures),
    Route("/api/v1/failures/<failure_id>", api_reading_page.failure),
    Route("/api/v1/why", api_reading_page.why),
    Route("/api/v1/history", api_reading_page.history),
    Route("/api/v1/delayed", api_reading_page.delayed),
    Route("/api/v1/retries", api_reading_page.retries),
    Route("/api/v1/schedules", api_reading_page.schedules),
    Route("/api/v1/quarantine", api_reading_page.quarantine),
    Route("/api/v1/audit", api_reading_page.actions),
    *(
        Route(f"/api/v1/{path}", view, capability, POST)
        for path, view, capability in (
            ("failures/retry", api_acting_page.retry_failures, roles.RETRY),
            ("failures/remove", api_acting_page.remove_failures, roles.REMOVE),
            ("queues/pause", api_acting_page.pause_queue, roles.QUEUE),
            ("queues/resume", api_acting_page.resume_queue, roles.QUEUE),
            ("queues/remove", api_acting_page.remove_queue, roles.QUEUE),
            ("jobs/enqueue", api_acting_page.enqueue, roles.JOB),
            ("workers/remove", api_acting_page.remove_worker, roles.ADMIN),
            ("delayed/run", api_acting_page.run_delayed, roles.JOB),
            ("delayed/cancel", api_acting_page.cancel_delayed, roles.JOB),
            ("retries/run", api_acting_page.run_retries, roles.JOB),
            ("retries/cancel", api_acting_page.cancel_retries, roles.JOB),
            ("quarantine/release", api_acting_page.release_quarantined, roles.RETRY),
            ("quarantine/remove", api_acting_page.remove_quarantined, roles.REMOVE),
            ("schedules/enable", api_acting_page.enable_schedule, roles.CONTROL),
            ("schedules/disable", api_acting_page.disable_schedule, roles.CONTROL),
        )
    ),
    Route("/healthz", health_page.healthz, None),
    Route("/readyz", health_page.readyz, None),
    Route("/login", login_page.show, None),
    Route("/login", login_page.enter, None, POST),
    Route("/logout", login_page.leave, None, POST),
)
