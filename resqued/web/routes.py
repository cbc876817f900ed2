"""Every route, with the capability that it needs; nothing else registers one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from resqued.core import roles
from resqued.web import (
    about_page,
    api_acting_page,
    api_orders_page,
    api_reading_page,
    api_tasks_page,
    audit_page,
    bulk_page,
    charts_page,
    clearing_page,
    delayed_page,
    enqueue_page,
    failed_acts_page,
    failed_page,
    failed_search_page,
    failure_page,
    frame_page,
    groups_page,
    health_page,
    keys_page,
    login_page,
    masters_page,
    metrics_page,
    overview_page,
    pausing_page,
    poll_page,
    quarantine_page,
    queue_page,
    queue_tasks_page,
    queues_page,
    retry_page,
    schedule_page,
    search_page,
    stats_page,
    tasks_page,
    why_page,
    workers_page,
    working_page,
)

View = Callable[..., Any]
GET, POST = ("GET",), ("POST",)


class Route(Struct, frozen=True):
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
    Route("/frame", frame_page.show),
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
    Route("/api/v1/groups", api_tasks_page.groups),
    Route("/api/v1/tasks", api_tasks_page.show_all),
    Route("/api/v1/tasks/<task_id>", api_tasks_page.show),
    # As for /tasks/<task_id>, the task decides.
    Route("/api/v1/tasks/order", api_tasks_page.order, methods=POST),
    Route("/api/v1/orders", api_orders_page.give, roles.CONTROL, POST),
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
