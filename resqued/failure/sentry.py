"""The back end `sentry`: each failure as an event, through the extra `sentry`.

SENTRY_DSN names the project, and SENTRY_ENVIRONMENT and SENTRY_RELEASE say more. The id
of an event is that of its delivery, so Sentry drops one that comes twice.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

from resqued.core.version import VERSION
from resqued.errors import ConfigError
from resqued.failure.backend import FailureBackend
from resqued.failure.http_post import post
from resqued.store.failure_entry import Failure

_FRAME = re.compile(r' *File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<name>.+)')


class SentryBackend(FailureBackend):
    """Sends events to the project of SENTRY_DSN; `timeout` is in seconds."""

    def __init__(self, timeout: float, *, with_locals: bool = False) -> None:
        self.wants_exception = with_locals
        try:
            from sentry_sdk.utils import Dsn
        except ImportError:
            raise ConfigError(
                "back end sentry needs sentry-sdk: pip install 'resqued[sentry]'"
            ) from None
        try:
            dsn = Dsn(os.environ.get("SENTRY_DSN", ""))
            self._auth = dsn.to_auth(f"resqued/{VERSION}")
        except ValueError as error:  # BadDsn is one, and so is a wrong port
            raise ConfigError(
                "back end sentry needs the DSN of a project in SENTRY_DSN"
            ) from error
        self._timeout = timeout

    def save(self, failure: Failure, delivery: str) -> None:
        """Send one failure as an event."""
        self._send(event_of(failure, delivery))

    def capture(self, error: BaseException) -> str:
        """Return the exceptions of an event: frames with local variables.

        Values whose names look like secrets are left out, as Sentry's package does it.
        """
        from sentry_sdk.consts import DEFAULT_OPTIONS
        from sentry_sdk.scrubber import EventScrubber
        from sentry_sdk.serializer import serialize
        from sentry_sdk.utils import event_from_exception

        event, _ = event_from_exception(error, client_options=dict(DEFAULT_OPTIONS))
        EventScrubber(recursive=True).scrub_event(event)
        return json.dumps(serialize(dict(event))["exception"])

    def save_captured(self, failure: Failure, delivery: str, captured: str) -> None:
        """Send one failure as an event with local variables."""
        event = event_of(failure, delivery)
        event["exception"] = json.loads(captured)
        self._send(event)

    def _send(self, event: Any) -> None:
        from sentry_sdk.envelope import Envelope

        envelope = Envelope(headers={"event_id": event["event_id"]})
        envelope.add_event(event)
        headers = {
            "Content-Type": "application/x-sentry-envelope",
            "User-Agent": f"resqued/{VERSION}",
            "X-Sentry-Auth": str(self._auth.to_header()),
        }
        post(self._auth.get_api_url(), envelope.serialize(), headers, self._timeout)


def event_of(failure: Failure, event_id: str) -> Any:
    """Return the event of a failure, as Sentry takes it."""
    exception: dict[str, Any] = {"type": failure.exception, "value": failure.error}
    if frames := frames_of(failure.backtrace):
        exception["stacktrace"] = {"frames": frames}
    event: dict[str, Any] = {
        "event_id": event_id,
        "platform": "python",
        "level": "error",
        "logger": "resqued",
        "transaction": failure.class_name,
        "exception": {"values": [exception]},
        "tags": {"queue": failure.queue, "job": failure.class_name},
        "extra": {"args": list(failure.args), "failure": failure.id},
        "server_name": failure.worker.partition(":")[0],
        "environment": os.environ.get("SENTRY_ENVIRONMENT", "production"),
    }
    if release := os.environ.get("SENTRY_RELEASE"):
        event["release"] = release
    if failure.failed_at is not None:
        event["timestamp"] = failure.failed_at.timestamp()
    return event


def frames_of(backtrace: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the frames in the lines of a traceback of Python, the outermost first."""
    found = [match for text in backtrace if (match := _FRAME.match(text))]
    return [
        {
            "filename": match["file"],
            "abs_path": match["file"],
            "lineno": int(match["line"]),
            "function": match["name"].partition("\n")[0],
        }
        for match in found
    ]
