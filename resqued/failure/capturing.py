"""What back ends keep of an exception while it is alive: its local variables, say.

Runs in the child of a job that has failed, after the child has reported the failure,
within a time limit; so nothing here changes the record. What was kept waits in Redis
for the deliverer, which sends it instead of the record alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from resqued.config.settings import AppSettings
from resqued.errors import ConfigError
from resqued.failure.backend import FailureBackend
from resqued.hooks import failed_job
from resqued.hooks.job_info import JobInfo
from resqued.hooks.time_limit import time_limit
from resqued.log import capture, logger
from resqued.store.captured import Captured, digest_of
from resqued.store.connection import SingleLink
from resqued.wire import ruby_json
from resqued.wire.keys import Keys
from resqued.wire.payload import Payload

# Back ends that want no exception: sentry does with [failure] locals alone.
_WANT_NONE = ("webhook", "airbrake", "log")


def prepare(settings: AppSettings) -> None:
    """Have the exceptions of failed jobs kept for the back ends that want them.

    Runs in the zygote. A back end that cannot be made is left out: its deliverer logs
    the reason.
    """
    # What back ends import is memory that each fork of this process pays for.
    wanted: dict[str, FailureBackend] = {}
    for name in settings.failure_place.outboxes:
        if name in _WANT_NONE or (name == "sentry" and not settings.failure_locals):
            continue
        # Only where it is used: it imports the back ends.
        from resqued.failure.backend_lookup import backend_of

        try:
            backend = backend_of(name, settings)
        except ConfigError:
            continue
        if backend.wants_exception:
            wanted[name] = backend
    if wanted:
        failed_job.afterwards.append(
            lambda job, error: _keep(wanted.items(), settings, job, error)
        )


def _keep(
    backends: Iterable[tuple[str, FailureBackend]],
    settings: AppSettings,
    job: JobInfo,
    error: BaseException,
) -> None:
    digest = _digest(job)
    if not digest:
        return
    link = SingleLink(settings.url, timeout=1.0, namespace=settings.namespace)
    captured = Captured(link, Keys(settings.namespace))
    limit = settings.timings.hook_limit
    for name, backend in backends:
        try:
            with time_limit(limit, f"back end {name}"):
                if text := backend.capture(error):
                    captured.keep(name, digest, text)
        except BaseException as trouble:
            about = capture.context_fields()
            reason = f"{type(trouble).__name__}: {trouble}"
            logger.get(**about).warning("capture_failed", backend=name, error=reason)
    link.close()


def _digest(job: JobInfo) -> str:
    """Return the name of the failure of the running job; "" if it is not known."""
    match capture.facts():
        case (_, Payload() as taken, *_):
            try:
                return digest_of(job.worker, ruby_json.decode(taken.raw))
            except ValueError:
                return ""
    return ""
