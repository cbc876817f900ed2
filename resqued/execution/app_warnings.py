"""What the application lacks, or has without effect, as warnings in the log.

Runs in the zygote, when the application is imported.
"""

from __future__ import annotations

import os
from typing import Any

from resqued.config.settings import AppSettings
from resqued.jobs.lookup import find_hooks, has_jobs
from resqued.log import logger


def _look_for_jobs(settings: AppSettings) -> None:
    """Log a warning if the application has no job, because every job will fail."""
    if not has_jobs(settings.modules):
        logger.get(role="zygote", generation=settings.generation).warning(
            "application_has_no_jobs", modules=list(settings.modules)
        )


def _warn_of_absentees(settings: AppSettings) -> None:
    """Log what the application has of Resque that does not work here."""
    about: dict[str, Any] = {"role": "zygote", "pid": os.getpid()}
    if wrong := find_hooks(settings.modules):
        logger.get(**about).warning("hooks_invalid", hooks=wrong)
    backend = os.environ.get("FAILURE_BACKEND", "")
    # The master has read its own environment; this is that of the application.
    if backend and backend not in settings.failure_backends:
        logger.get(**about).warning("failure_backend_ignored", backend=backend)


def look_at_application(settings: AppSettings) -> None:
    """Warn of what is missing, and prepare what back ends want of its exceptions."""
    _look_for_jobs(settings)
    _warn_of_absentees(settings)
    if settings.failure_place.outboxes:
        from resqued.failure import capturing

        capturing.prepare(settings)
