"""Every route, with the capability that it needs; nothing else registers one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resqued.core import roles
from resqued.web import (
    audit_page,
    bulk_page,
    clearing_page,
    failed_acts_page,
    failed_page,
    failed_search_page,
    failure_page,
    groups_page,
    health_page,
    login_page,
    metrics_page,
    overview_page,
    pausing_page,
    queue_page,
    queue_tasks_page,
    queues_page,
    search_page,
    tasks_page,
    why_page,
    workers_page,
    working_page,
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
    Route("/search", search_page.find),
    Route("/why/<path:name>", why_page.show),
    Route("/pause_all", pausing_page.pause, roles.QUEUE, POST),
    Route("/resume_all", pausing_page.resume, roles.QUEUE, POST),
    Route("/queues/pause", pausing_page.pause_queues, roles.QUEUE, POST),
    Route("/queues/resume", pausing_page.resume_queues, roles.QUEUE, POST),
    Route("/other_namespaces", overview_page.show_namespaces),
    Route("/queues", queues_page.show_all),
    Route("/queues/remove_empty", queues_page.remove_empty, roles.QUEUE, POST),
    Route("/unlisted_queues", queues_page.show_unlisted),
    Route("/unlisted_queues", queues_page.add_names, roles.QUEUE, POST),
    Route("/queues/<path:name>", queue_page.show),
    Route("/remove_queue/<path:name>", queue_page.ask_remove, roles.QUEUE),
    # The path is that of Resque.
    Route("/queues/<path:name>/remove", queue_page.remove, roles.QUEUE, POST),
    Route("/dequeue/<path:name>", queue_tasks_page.ask_dequeue, roles.JOB),
    Route("/dequeue/<path:name>", queue_tasks_page.dequeue, roles.JOB, POST),
    Route("/move_queue/<path:name>", queue_tasks_page.ask_move, roles.QUEUE),
    Route("/move_queue/<path:name>", queue_tasks_page.move, roles.QUEUE, POST),
    Route("/raw_job/<path:name>", queue_page.download, roles.VIEW_ARGS),
    Route("/remove_job/<path:name>", queue_page.remove_job, roles.JOB, POST),
    Route("/put_job_first/<path:name>", queue_page.put_first, roles.JOB, POST),
    Route("/working", working_page.show_all),
    Route("/working/<path:name>", working_page.show),
    Route("/kill_jobs", working_page.ask_kill, roles.CONTROL),
    Route("/kill_jobs", working_page.kill, roles.CONTROL, POST),
    # A signal makes the job write its stack, so that is no GET.
    Route("/stack/<path:name>", working_page.stack, roles.CONTROL, POST),
    Route("/workers", workers_page.show_all),
    Route("/workers/<path:name>", workers_page.show),
    Route("/remove_worker/<path:name>", workers_page.remove, roles.ADMIN, POST),
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
    Route("/failed/groups", groups_page.show),
    Route("/failed/search", failed_search_page.start, methods=POST),
    Route("/failed/search/<task_id>", failed_search_page.show),
    Route("/failed/bulk/retry", bulk_page.ask_retry, roles.RETRY),
    Route("/failed/bulk/retry", bulk_page.retry, roles.RETRY, POST),
    Route("/failed/bulk/retry_remove", bulk_page.ask_retry_remove, roles.RETRY),
    Route("/failed/bulk/retry_remove", bulk_page.retry_remove, roles.RETRY, POST),
    Route("/failed/bulk/remove", bulk_page.ask_remove, roles.REMOVE),
    Route("/failed/bulk/remove", bulk_page.remove, roles.REMOVE, POST),
    Route("/tasks", tasks_page.show_all),
    Route("/tasks/<task_id>", tasks_page.show),
    # Whose task it is, and what that user may do, is decided by the task.
    Route("/tasks/<task_id>", tasks_page.order, methods=POST),
    Route("/healthz", health_page.healthz, None),
    Route("/readyz", health_page.readyz, None),
    Route("/login", login_page.show, None),
    Route("/login", login_page.enter, None, POST),
    Route("/logout", login_page.leave, None, POST),
)
