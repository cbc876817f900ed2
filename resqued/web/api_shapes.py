"""What the API says of jobs, failures and workers: the shapes of --json, redacted.

Arguments are null for a user who may not see them, and so is everything that may hold
some. A payload that is no job is shown as text, or in base64 if it is not UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resqued.core.task_state import TaskRecord
from resqued.diagnostics.worker_status import WorkerStatus
from resqued.errors import PayloadError
from resqued.scheduler.published_schedule import PublishedSchedule
from resqued.store.delayed import DelayedJob
from resqued.store.failure_entry import Failure
from resqued.store.quarantine import QuarantinedJob
from resqued.store.waiting_retries import WaitingRetry
from resqued.web import tasks
from resqued.web.api_answers import named, raw_bytes
from resqued.web.failure_groups import GroupCount
from resqued.web.formats import redacted_args, sees_args, without_secrets
from resqued.web.groups_page import filter_in_url
from resqued.web.site import site
from resqued.wire import payload

# The fields that every library writes.
_PLAIN = frozenset(
    {
        *("failed_at", "payload", "exception", "error", "backtrace", "worker"),
        *("queue", "retried_at", "attempt"),
    }
)


def args_of(class_name: str, args: Iterable[object]) -> list[Any] | None:
    """Return the arguments of a job as the present user may see them."""
    return redacted_args(class_name, args) if sees_args() else None


def _raw(entry: bytes) -> dict[str, Any]:
    """Return the bytes of what is no job; nothing of it can be redacted."""
    if not sees_args() or site().settings.redact:
        return {"raw": None}
    return raw_bytes(entry)


def queued(raw: bytes, place: int) -> dict[str, Any]:
    """Return a payload of a queue; `place` is 1 for the next one."""
    found = {"place": place, "size": len(raw)}
    try:
        job = payload.decode_job(raw)
    except PayloadError as error:
        return {**found, "class": None, "problem": str(error), **_raw(raw)}
    args = args_of(job.class_name, job.args)
    return {**found, "class": job.class_name, "args": args}


def failure_fields(fields: Mapping[str, Any], class_name: str) -> dict[str, Any]:
    """Return the fields of a failure; those of other programs only with view_args."""
    if not sees_args():
        fields = {name: each for name, each in fields.items() if name in _PLAIN}
    found = {name: without_secrets(each) for name, each in fields.items()}
    job = fields.get("payload")
    if isinstance(job, dict):
        args = args_of(class_name, payload.arguments(job.get("args")))
        others = found["payload"] if sees_args() else {"class": class_name}
        found["payload"] = {**others, "args": args}
    elif "payload" in fields:
        found["payload"] = job if sees_args() and not site().settings.redact else None
    return found


def failed(failure: Failure) -> dict[str, Any]:
    """Return a failure with its id, its list, and the place of the cursor."""
    found = failure_fields(failure.fields, failure.class_name)
    if not failure.fields:
        found = _raw(failure.entry)
    return {"id": failure.id, **found} | {
        "id": failure.id,
        **named(failure.list_name, "list"),
    }


def delayed(job: DelayedJob) -> dict[str, Any]:
    """Return a delayed job."""
    found = job.as_dict()
    found["args"] = args_of(job.class_name, job.args)
    return found if job.payload else {**found, **_raw(job.item)}


def waiting_retry(retry: WaitingRetry) -> dict[str, Any]:
    """Return a job that waits for another attempt, with the last failure."""
    failure, job = retry.failure, retry.job
    about = failure and failure_fields(failure.fields, failure.class_name)
    return {**delayed(job), "attempt": retry.attempt, "failure": about}


def quarantined(job: QuarantinedJob) -> dict[str, Any]:
    """Return a job that was set aside."""
    found = job.as_dict()
    if "raw" in found:
        return {"id": job.id, **_raw(job.entry)}
    return {
        **found,
        "args": args_of(job.class_name, job.args),
        "failure": failure_fields(job.failure.fields, job.class_name),
    }


def group(found: GroupCount, by: str) -> dict[str, Any]:
    """Return a group of failures, with the filter that has them."""
    about = found.group
    return {
        "filter": filter_in_url(found, by),
        "class": about.class_name or None,
        "exception": about.exception or None,
        "message": about.message if by == "group" else None,
        "frame": about.frame or None,
        "sample": without_secrets(found.sample),
        "count": found.count,
        "retried": found.retried,
        "first": found.first or None,
        "last": found.last or None,
    }


def task(found: TaskRecord) -> dict[str, Any]:
    """Return a task, with the orders that the present user may pass to it."""
    return {
        "id": found.id,
        "kind": found.kind,
        "words": found.words,
        "user": found.user,
        "state": found.state,
        "done": found.done,
        "left_out": found.left_out,
        "judged": found.judged,
        "total": found.total,
        "rate": found.rate,
        "share": round(found.share, 4),
        "began": found.began,
        "ended": found.ended or None,
        "problem": found.problem or None,
        "error": found.error or None,
        "orders": list(found.orders) if tasks.may_order_now(found) else [],
    }


def worker(status: WorkerStatus) -> dict[str, Any]:
    """Return a worker with its state, and with the job that it runs."""
    found: dict[str, Any] = {**status.as_dict(), "job_age": status.job_age}
    job = status.worker.job
    if job is not None:
        found["job"]["args"] = args_of(job.class_name, job.args)
    return {**found, **named(status.worker.id, "id")}


def schedule(found: PublishedSchedule) -> dict[str, Any]:
    """Return a recurring job."""
    values = found.as_dict()
    if found.schedule is None:
        shown = _raw(found.raw.encode("utf-8", "backslashreplace"))
        return {**values, **shown, **named(found.name)}
    args = args_of(found.schedule.class_name, found.schedule.args)
    return {**values, "args": args, **named(found.name)}
