"""Facts about a server: INFO, its clock, and whether it has client tracking.

Used by `resqued doctor`. It only reads; INFO is left out, with the server's reason,
if the user of the connection may not ask for it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing

from msgspec import Struct, field

from resqued.errors import StoreError
from resqued.store.connection import SingleLink
from resqued.store.server_url import redact

# The exceptions for a reply that is valid in the protocol but of an unexpected form.
_NO_SENSE = (AttributeError, LookupError, TypeError, ValueError)


class ServerFacts(Struct, frozen=True):
    """Facts about a server.

    `info` are the fields of INFO by name; empty if it was refused, for the reason in
    `refused`; `groups` are the names of the fields in each of its sections. `now`
    is the server's time in seconds since the epoch, `skew` the seconds by which this
    host's clock is ahead of it, and `round_trip` the seconds that reading it took.
    `is_tracking` is True if the server has client tracking.
    `place` is the address of the primary. `sentinels` are the sentinels that the URL
    names, each with what is wrong with it, or "". `cluster` are the fields of CLUSTER
    INFO if the server is a node of a cluster.
    """

    info: Mapping[str, str]
    refused: str = ""
    now: float = 0.0
    skew: float = 0.0
    round_trip: float = 0.0
    is_tracking: bool = True
    place: str = ""
    sentinels: Mapping[str, str] = field(default_factory=dict)
    cluster: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """Return a field of INFO as a number; 0 if it is missing or not a number."""
        text = self.info.get(name, "")
        return int(text) if text.lstrip("-").isdecimal() else 0


class AnsweringServer(Struct, frozen=True):
    """The server that answers: host and port, and its role; "" if it is not known.

    `is_found` is True if sentinels or a cluster name it, and not the URL.
    """

    place: str = ""
    role: str = ""
    is_found: bool = False


def find_server(url: str, *, timeout: float, namespace: str) -> AnsweringServer:
    """Return which server answers for a namespace; its role is primary or replica.

    `timeout` is in seconds. Raises StoreError if none answers.
    """
    with closing(SingleLink(url, timeout=timeout, namespace=namespace)) as link:
        link.ping()
        try:
            role = str(link.call("ROLE")[0], "ascii")
        except (StoreError, *_NO_SENSE):
            role = ""  # a user or a proxy may not ask
        role = {"master": "primary", "slave": "replica"}.get(role, "")
        return AnsweringServer(link.place, role, link.locator.can_move)


def examine(url: str, *, timeout: float, namespace: str = "") -> ServerFacts:
    """Return the facts about a server.

    `timeout` is in seconds. `namespace` decides which node of a cluster is asked.
    Raises StoreError if it does not answer as Redis does.
    """
    try:
        with closing(SingleLink(url, timeout=timeout, namespace=namespace)) as link:
            return _examined(link)
    except _NO_SENSE as error:
        place = f"redis at {redact(url)}"
        kind = type(error).__name__
        raise StoreError(
            f"{place}: its answers are not those of Redis ({kind}): check the URL"
        ) from error


def _examined(link: SingleLink) -> ServerFacts:
    link.ping()
    text, refused = _info(link)
    before = time.time()
    reply = link.call("TIME")
    after = time.time()
    now = int(reply[0]) + int(reply[1]) / 1e6
    return ServerFacts(
        _fields(text),
        refused,
        now=now,
        skew=(before + after) / 2 - now,
        round_trip=after - before,
        is_tracking=link.listen(lambda message: message),
        place=link.place,
        sentinels=link.locator.survey(),
        cluster=_cluster(link) if link.locator.is_cluster else {},
        groups=_groups(text),
    )


def _cluster(link: SingleLink) -> dict[str, str]:
    try:
        return _fields(link.call("CLUSTER", "INFO"))
    except StoreError as error:
        return {"refused": str(error)}


def _info(link: SingleLink) -> tuple[bytes, str]:
    try:
        return link.call("INFO"), ""
    except StoreError as error:
        return b"", str(error)


def _groups(text: bytes) -> dict[str, list[str]]:
    """Return the names of the fields of each section, in the order of the server."""
    groups: dict[str, list[str]] = {}
    names: list[str] = []
    for line in text.decode("utf-8", "replace").splitlines():
        if line.startswith("#"):
            names = groups.setdefault(line.lstrip("# "), [])
        elif ":" in line:
            names.append(line.partition(":")[0])
    return groups


def _fields(text: bytes) -> dict[str, str]:
    lines = text.decode("utf-8", "replace").splitlines()
    fields = (line.partition(":") for line in lines)
    return {name: value for name, colon, value in fields if colon}
