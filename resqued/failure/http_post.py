"""One HTTP request that brings a failure to a service, without a library."""

from __future__ import annotations

import http.client
import ssl
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import SplitResult, unquote, urlsplit

from resqued.errors import DeliveryError, DeliveryRefused

# Answers after which another try may succeed, beside those of 500 and more.
_TRY_AGAIN = {408, 425, 429}
# Of an answer in a message, in characters.
_MOST_SHOWN = 300


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> None:
    """Send a body by POST; `timeout` is for each step, in seconds.

    A name and a password in the address are sent as such. Raises DeliveryRefused if the
    service answers that it will never take it, and DeliveryError or OSError if it may
    do so later. No message has the address, which may be a secret.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = {**headers, **_credentials(parts)}
    try:
        with closing(_connection(parts, timeout)) as connection:
            connection.request("POST", target, body, sent)
            answer = connection.getresponse()
    except http.client.InvalidURL:
        # Its text has the address.
        raise DeliveryError("the address has characters that none may have") from None
    except http.client.HTTPException as error:
        # A line of the answer may be long.
        raise DeliveryError(f"no answer in HTTP: {error!r}"[:_MOST_SHOWN]) from error
    status = answer.status
    if 200 <= status < 300:
        return
    if status >= 500 or status in _TRY_AGAIN:
        raise DeliveryError(f"{host} answers {status}", _seconds_in(answer))
    hint = ": it redirects, which is not followed; name the new address"
    raise DeliveryRefused(f"{host} answers {status}{hint if status < 400 else ''}")


def _connection(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout)


def _credentials(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


def _seconds_in(answer: http.client.HTTPResponse) -> float:
    """Return the seconds of Retry-After; 0 if it is not there or is a date."""
    text = answer.getheader("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
