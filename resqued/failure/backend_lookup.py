"""Finds a back end by its name, or by the path of its class.

Runs in the process that delivers to this back end.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from resqued.config.settings import AppSettings
from resqued.errors import ConfigError
from resqued.failure.airbrake import AirbrakeBackend
from resqued.failure.backend import FailureBackend
from resqued.failure.logging_backend import LoggingBackend
from resqued.failure.sentry import SentryBackend
from resqued.failure.webhook import WebhookBackend
from resqued.system import ownership


def backend_of(name: str, settings: AppSettings) -> FailureBackend:
    """Return the back end of a name or a class path; raise ConfigError."""
    match name:
        case "webhook":
            return WebhookBackend(settings.webhook_url, settings.delivery_timeout)
        case "sentry":
            return SentryBackend(
                settings.delivery_timeout, with_locals=settings.failure_locals
            )
        case "airbrake":
            return AirbrakeBackend()
        case "log":
            return LoggingBackend()
    return _of_application(name)


def _of_application(path: str) -> FailureBackend:
    here = Path.cwd()
    if reason := ownership.distrust_of_code(here, is_named=True):
        raise ConfigError(f"cannot import back end {path}: {reason}")
    sys.path.insert(0, str(here))
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)()
    except (Exception, SystemExit) as error:  # the application's code
        raise ConfigError(
            f"cannot make back end {path}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(found, FailureBackend):
        raise ConfigError(
            f"back end {path} is no subclass of resqued.failure.backend.FailureBackend"
        )
    return found
