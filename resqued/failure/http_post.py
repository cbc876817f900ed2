"""One HTTP request that brings a failure to a service, without a library."""

from __future__ import annotations

import http.client
import ssl
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from resqued.errors import DeliveryError, DeliveryRefused

# Answers after which another try may succeed, beside those of 500 and more.
_TRY_AGAIN = {408, 425, 429}


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> None:
    """Send a body by POST; `timeout` is for each step, in seconds.

    Raises DeliveryRefused if the service answers that it will never take it, and
    DeliveryError or OSError if it may do so later. A name and a password in the address
    are sent as HTTP asks for (Basic). No message has the address, which
    may be a secret.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(
            host, port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    sent = dict(headers)
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, body, sent)
        status = connection.getresponse().status
    except http.client.HTTPException as error:
        raise DeliveryError(f"no answer in HTTP: {type(error).__name__}") from error
    finally:
        connection.close()
    if 200 <= status < 300:
        return
    if status >= 500 or status in _TRY_AGAIN:
        raise DeliveryError(f"{host} answers {status}")
    raise DeliveryRefused(f"{host} answers {status}")
