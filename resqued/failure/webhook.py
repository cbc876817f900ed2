"""The back end `webhook`: each failure as JSON by POST, with a signature.

The header Resqued-Signature is `t=<seconds>,v1=<hex>`: an HMAC with SHA-256 of the text
`<seconds>.<body>`, with the secret in RESQUED_WEBHOOK_SECRET as key.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time

from resqued.core.version import VERSION
from resqued.errors import ConfigError
from resqued.failure.backend import FailureBackend
from resqued.failure.http_post import post
from resqued.store.failure_entry import Failure

SECRET = "RESQUED_WEBHOOK_SECRET"  # noqa: S105 - a name


class WebhookBackend(FailureBackend):
    """Posts failures to one address; `timeout` is in seconds."""

    def __init__(self, url: str, timeout: float) -> None:
        if not url:
            raise ConfigError("back end webhook needs webhook_url in [failure]")
        self._url = url
        self._timeout = timeout

    def save(self, failure: Failure, delivery: str) -> None:
        """Post one failure."""
        value = {"id": delivery, "failure": failure.as_dict()}
        body = json.dumps(value).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"resqued/{VERSION}",
            "Resqued-Delivery": delivery,
        }
        if secret := os.environ.get(SECRET):
            headers["Resqued-Signature"] = signature(secret, body, int(time.time()))
        post(self._url, body, headers, self._timeout)


def signature(secret: str, body: bytes, now: int) -> str:
    """Return the signature of a body at a time, in seconds since the epoch."""
    text = b"%d.%b" % (now, body)
    digest = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return f"t={now},v1={digest}"
