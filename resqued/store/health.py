"""What a server says of itself: INFO, its clock, whether it sends word of changes.

Reads alone. What a user may not ask is left out, with the server's reason.
"""

from __future__ import annotations

import time
from contextlib import closing

from resqued.core.checkup_server import Server
from resqued.errors import StoreError
from resqued.store.connection import SingleLink, redact

# What answers lead to that follow the protocol's form, but not its sense.
_NO_SENSE = (AttributeError, LookupError, TypeError, ValueError)


def examine(url: str, *, timeout: float) -> Server:
    """Return what is known of the server; raise StoreError if it does not answer."""
    try:
        with closing(SingleLink(url, timeout=timeout)) as link:
            return _examined(link)
    except _NO_SENSE as error:
        place = f"redis at {redact(url)}"
        kind = type(error).__name__
        raise StoreError(
            f"{place}: its answers are not those of Redis ({kind})"
        ) from error


def _examined(link: SingleLink) -> Server:
    link.ping()
    info, refused = _info(link)
    before = time.time()
    reply = link.call("TIME")
    after = time.time()
    now = int(reply[0]) + int(reply[1]) / 1e6
    return Server(
        info,
        refused,
        now=now,
        skew=(before + after) / 2 - now,
        round_trip=after - before,
        is_tracking=link.listen(lambda message: message),
    )


def _info(link: SingleLink) -> tuple[dict[str, str], str]:
    try:
        text = link.call("INFO")
    except StoreError as error:
        return {}, str(error)
    lines = text.decode("utf-8", "replace").splitlines()
    fields = (line.partition(":") for line in lines)
    return {name: value for name, colon, value in fields if colon}, ""
