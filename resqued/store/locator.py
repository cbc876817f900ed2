"""Where the primary is: the server that takes the writes of one namespace.

A locator is asked whenever a connection is opened, and is told whether that succeeded.
So a connection that is closed after an error leads to the new primary when it is
opened again. The state of a locator may be used by several threads: each change
replaces one value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from resqued.errors import StoreError, UnusableServerError
from resqued.store.redis_errors import (
    FAULTS,
    CarriedError,
    ElsewhereError,
    NotPrimaryReply,
    ReplyError,
    is_not_primary,
    reason_of,
    untagged,
)
from resqued.store.server_url import Address, ServerURL, redact
from resqued.store.slots import slot_of_namespace

# A connection to a sentinel, not open yet, for its plain URL.
Dial = Callable[[str], Any]

# Names of a host that mean the one that was asked: it does not know its own.
_UNNAMED = (None, b"", b"?")


class KnownNodes:
    """The servers that a URL names, or the nodes of a cluster.

    The first is used, until it fails or names another one. One server is no cluster
    until it says so; it then tells the other nodes, which are used when it is gone.
    `namespace` is "" for a connection that needs no key.
    """

    def __init__(
        self, url: str, nodes: Sequence[Address], namespace: str, *, is_cluster: bool
    ) -> None:
        self._url = url
        self._named = tuple(nodes)
        self._nodes = self._named
        self._namespace = namespace
        self._slot = slot_of_namespace(namespace)
        self.is_cluster = is_cluster

    @property
    def can_move(self) -> bool:
        """Whether another server may become the primary."""
        return self.is_cluster

    @property
    def choices(self) -> int:
        """How many servers to try, one after the other, if they refuse to connect."""
        return len(self._nodes)

    def locate(self) -> Address:
        """Return the address to connect to."""
        return self._nodes[0]

    def suspect(self) -> None:
        """Try another server first, if one is known: this one has failed."""
        first, *others = self._nodes or (None,)
        if others and first is not None:
            self._nodes = (*others, first)

    def named(self, host: str, port: int) -> Address:
        """Return the address that a node names; without a host it means its own."""
        return host.strip("[]?") or self._nodes[0][0], port

    def move(self, host: str, port: int) -> None:
        """Use this node of the cluster, which the one in use has named.

        Raises CarriedError if the keys of the namespace are in several slots.
        """
        self.is_cluster = True
        self._check_namespace()
        first = self.named(host, port)
        self._nodes = tuple(dict.fromkeys([first, *self._nodes]))

    def _check_namespace(self) -> None:
        if self._namespace and self._slot is None:
            place = f"redis at {redact(self._url)}"
            raise CarriedError(untagged(place, self._namespace))

    def arrive(self, connection: Any, greeting: dict[bytes, Any]) -> None:
        """Check a connection that was opened; `greeting` is the reply to HELLO.

        Raises ElsewhereError if another node of the cluster has the namespace.
        """
        if greeting.get(b"mode") != b"cluster":
            return
        self.is_cluster = True
        if not self._namespace:
            return
        self._check_namespace()
        here = (connection.host, connection.port)
        self._learn(connection)
        if self._nodes[0] != here:
            raise ElsewhereError

    def survey(self) -> dict[str, str]:
        """Return nothing: there are no sentinels."""
        return {}

    def is_elsewhere(self, _address: Address) -> bool:
        """Return False: a node of a cluster says itself that it is not the primary."""
        return False

    def _learn(self, connection: Any) -> None:
        """Learn the nodes of the cluster; the first is the primary of the slot."""
        connection.send_command("CLUSTER", "SLOTS")
        try:
            ranges = connection.read_response()
        except ReplyError as error:
            if is_not_primary(error):
                raise
            return  # a user or a service may not ask; nodes answer MOVED all the same
        own, others = read_slots(ranges, self._slot or 0, connection.host)
        if not own:
            reason = "CLUSTERDOWN no node serves the slot of the namespace"
            raise CarriedError(StoreError(f"redis at {redact(self._url)}: {reason}"))
        # Nodes that have left are forgotten: each would cost an attempt in an outage.
        self._nodes = tuple(dict.fromkeys([*own, *others, *self._named]))


class Sentinels:
    """The primary that sentinels name for a service."""

    can_move = True
    is_cluster = False
    choices = 1

    def __init__(self, url: str, read: ServerURL, dial: Dial) -> None:
        self._url = url
        self._sentinels = read.sentinels
        self._service = read.service
        self._checks = 0
        self._dial = dial

    def locate(self) -> Address:
        """Return the address that the first sentinel that answers has.

        Raises CarriedError with the StoreError if none has one.
        """
        problems = []
        errors: list[StoreError] = []
        for url in self._sentinels:
            try:
                found = self._ask(url)
            except FAULTS as error:
                problems.append(f"{_place(url)}: {reason_of(error)}")
                continue
            if found is not None:
                # Asked first from now on.
                others = (u for u in self._sentinels if u != url)
                self._sentinels = (url, *others)
                return found
            errors.append(self._unknown(url))
        if errors and not problems:
            raise CarriedError(errors[0])
        place = f"redis at {redact(self._url)}"
        raise CarriedError(
            StoreError(f"{place}: no sentinel names the primary: {'; '.join(problems)}")
        )

    def is_elsewhere(self, address: Address) -> bool:
        """Return True if most sentinels name another primary than this one.

        An old primary that lost its connection to them may believe that it is one. The
        others are asked only if the first one, which is another at each call, does.
        """
        self._checks += 1
        first = self._checks % len(self._sentinels)
        against = 0
        for url in (*self._sentinels[first:], *self._sentinels[:first]):
            told = self._try(url)
            if told == address:
                return False
            against += told is not None
        return against > len(self._sentinels) // 2

    def survey(self) -> dict[str, str]:
        """Return what is wrong with each sentinel, or "", by its address."""
        found = {}
        for url in self._sentinels:
            try:
                self._exchange(url, "CKQUORUM")
                found[_place(url)] = ""
            except FAULTS as error:
                found[_place(url)] = reason_of(error)
        return found

    def _try(self, url: str) -> Address | None:
        try:
            return self._ask(url)
        except FAULTS:
            return None

    def _ask(self, url: str) -> Address | None:
        reply = self._exchange(url, "GET-MASTER-ADDR-BY-NAME")
        return None if reply is None else (reply[0].decode(), int(reply[1]))

    def _exchange(self, url: str, command: str) -> Any:
        """Return the reply of a sentinel to a command about the service."""
        connection = self._dial(url)
        try:
            connection.send_command("SENTINEL", command, self._service)
            return connection.read_response()
        finally:
            connection.disconnect()

    def _unknown(self, url: str) -> StoreError:
        return UnusableServerError(
            f"redis at {redact(self._url)}: the sentinel at {_place(url)} knows no"
            f" primary of the name {self._service!r}: correct the path of the URL"
        )

    def suspect(self) -> None:
        """Ask another sentinel first: what this one named has failed."""
        first, *others = self._sentinels
        self._sentinels = (*others, first)

    def named(self, host: str, port: int) -> Address:
        """Raise CarriedError: only a node of a cluster names another."""
        raise CarriedError(self._is_cluster(f"names the node {host}:{port}"))

    def move(self, host: str, port: int) -> None:
        """Raise CarriedError: only a node of a cluster names another."""
        self.named(host, port)

    def arrive(self, connection: Any, greeting: dict[bytes, Any]) -> None:
        """Raise ConnectionError if the server is no primary; see KnownNodes."""
        if greeting.get(b"mode") == b"cluster":
            raise CarriedError(self._is_cluster("is a node"))
        role = greeting.get(b"role")
        if role is None:
            connection.send_command("ROLE")
            role = connection.read_response()[0]
        if role != b"master":
            self.suspect()
            raise NotPrimaryReply(
                f"{connection.host}:{connection.port} is a replica, and the sentinels"
                " name no other primary yet"
            )

    def _is_cluster(self, what: str) -> UnusableServerError:
        return UnusableServerError(
            f"redis at {redact(self._url)}: the primary {what} of a cluster, which"
            " needs no sentinels: use redis+cluster://"
        )


Locator = KnownNodes | Sentinels


class OneNode:
    """A node of a cluster that is asked for one command, as ASK says."""

    choices = 1

    def __init__(self, address: Address) -> None:
        self._address = address

    def locate(self) -> Address:
        """Return the address to connect to."""
        return self._address

    def suspect(self) -> None:
        """Do nothing: there is no other."""

    def arrive(self, connection: Any, greeting: dict[bytes, Any]) -> None:
        """Accept the node as it is."""


def read_slots(
    ranges: Any, slot: int, asked: str
) -> tuple[list[Address], list[Address]]:
    """Return the primary of a slot, and all other nodes, from CLUSTER SLOTS.

    `asked` is the host that was asked, which has no name of its own perhaps.
    """
    own: list[Address] = []
    others: list[Address] = []
    for first, last, *nodes in ranges:
        found = [_node(node, asked) for node in nodes]
        if first <= slot <= last:
            own, found = found[:1], found[1:]
        others += found
    return own, others


def _node(node: Any, asked: str) -> Address:
    host = node[0]
    name = asked if host in _UNNAMED else host.decode()
    return name, int(node[1])


def _place(url: str) -> str:
    """Return host and port of the plain URL of a sentinel."""
    return url.partition("://")[2].rpartition("@")[2].partition("?")[0]
