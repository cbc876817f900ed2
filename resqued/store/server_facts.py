"""What a server says of itself: INFO, its clock, whether it sends word of changes.

Reads alone. What a user may not ask is left out, with the server's reason.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass

from resqued.errors import StoreError
from resqued.store.connection import SingleLink, redact

# What answers lead to that follow the protocol's form, but not its sense.
_NO_SENSE = (AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a server says of itself.

    `info` are the fields of INFO, none if it was refused (`refused` says how).
    `skew` is by how many seconds this host's clock is ahead of the server's, and
    `round_trip` how long asking took. `is_tracking` says whether it would send word
    of changes.
    """

    info: Mapping[str, str]
    refused: str = ""
    now: float = 0.0
    skew: float = 0.0
    round_trip: float = 0.0
    is_tracking: bool = True

    def number(self, name: str) -> int:
        """Return a field as a number; 0 if there is none."""
        text = self.info.get(name, "")
        return int(text) if text.lstrip("-").isdecimal() else 0


def examine(url: str, *, timeout: float) -> ServerFacts:
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


def _examined(link: SingleLink) -> ServerFacts:
    link.ping()
    info, refused = _info(link)
    before = time.time()
    reply = link.call("TIME")
    after = time.time()
    now = int(reply[0]) + int(reply[1]) / 1e6
    return ServerFacts(
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
