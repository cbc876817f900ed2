"""Web hooks: an event is sent to the URLs of those who asked for it.

A receiver may be slow or away, so each delivery is a job of its own, with a limit. A
receiver that refuses makes the job fail; `resqued failed retry` sends the event again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from urllib.request import Request, urlopen

import resqued

SECRET = os.environ.get("MYAPP_SECRET", "change me").encode()


def notify(urls: Iterable[str], event: str, facts: Mapping[str, object]) -> int:
    """Enqueue the delivery of an event to each URL; return how many there are."""
    return resqued.enqueue_many(((url, event, facts) for url in urls), job=deliver)


@resqued.job(queue="web_hooks", timeout="30s")
def deliver(url: str, event: str, facts: Mapping[str, object]) -> None:
    """Send one event, signed, so that the receiver knows its sender."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is no URL of a web server")
    body = json.dumps({"event": event, "facts": facts}).encode()
    signature = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "X-Signature": f"sha256={signature}"}
    # Raises HTTPError for a status of 400 and above.
    with urlopen(Request(url, body, headers), timeout=10) as answer:  # noqa: S310 - see above
        print(f"{url} answered {answer.status}")
