"""Commands that a server has refused because it is not the primary: sent to that one.

A server that answers MOVED, ASK or READONLY has executed nothing, so the command can be
sent again without being executed twice. A command whose reply was lost is not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    MovedError,
)

from resqued.errors import StoreError, UnusableServerError
from resqued.store.locator import Locator
from resqued.store.redis_client import node_connection
from resqued.store.redis_errors import (
    FAULTS,
    CarriedError,
    is_not_primary,
    is_unsent,
)
from resqued.store.redis_internals import exchange

# The words of a command.
Command = tuple[str | bytes | int | float, ...]

# How many times a command follows MOVED or ASK before the caller gets the error.
MOST = 5

# The first and the longest pause before the primary is looked for again, in seconds.
_FIRST, _LONGEST = 0.02, 0.25


class Redirected(Protocol):
    """The parts of a link that a redirect needs; see store/connection.py."""

    url: str
    timeout: float
    patience: float
    locator: Locator

    def packed(self, command: Command) -> bytes:
        """Return a command in its wire format."""

    def attempt(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands once; return replies and errors."""

    def leave(self) -> bool:
        """Close the connection; return whether commands may be repeated."""

    def error(self, fault: Exception) -> StoreError:
        """Return the StoreError for an error."""


class RedirectedPacked(Redirected, Protocol):
    """The same for a link of one connection."""

    def attempt_packed(self, command: bytes) -> Any:
        """Send a packed command once; return its reply or the error."""

    def close(self) -> None:
        """Close the connection."""


def follow(
    link: Redirected, commands: Sequence[Command], replies: Sequence[Any]
) -> list[Any]:
    """Send what was refused to the primary, and return all replies.

    `replies` are those of the first attempt, with errors as exceptions. Those of
    commands that are refused for longer than the patience of the link remain.
    """
    found = list(replies)
    until = time.monotonic() + link.patience
    pause, turns = _FIRST, 0
    while refused := _refused(link, commands, found):
        first = found[refused[0]]
        if isinstance(first, AskError):
            turns += 1
            if turns > MOST or not _turn(link, first):
                break
        elif link.locator.can_move and time.monotonic() < until:
            _look_again(link, first)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST)
        else:
            break
        again = link.attempt([commands[n] for n in refused])
        for n, reply in zip(refused, again, strict=True):
            found[n] = reply
    lost = next(filter(is_lost, found), None)
    if lost is not None:
        _look_again(link, lost)
    return found


def _refused(
    link: Redirected, commands: Sequence[Command], found: list[Any]
) -> list[int]:
    """Return which commands were refused, after asking as ASK says."""
    for n, reply in enumerate(found):
        if _is_ask(reply):
            found[n] = _ask(link, link.packed(commands[n]), reply)
    return [n for n, reply in enumerate(found) if _may_repeat(reply, found)]


def follow_packed(link: RedirectedPacked, command: bytes, reply: Any) -> Any:
    """Send a packed command that was refused to the node that serves it.

    Returns its reply; raises StoreError if it is an error, with the connection closed
    if the next one must be opened elsewhere.
    """
    for _ in range(MOST):
        if _is_ask(reply):
            reply = _ask(link, command, reply)
        elif isinstance(reply, MovedError) and _turn(link, reply):
            reply = link.attempt_packed(command)
        else:
            break
    if not isinstance(reply, Exception):
        return reply
    if is_lost(reply):
        link.close()  # the server cannot serve now: BUSY, LOADING, READONLY
        link.locator.suspect()
    raise link.error(reply) from reply


def is_lost(reply: object) -> bool:
    """Return True for an error after which the primary must be looked for."""
    if isinstance(reply, redis.ResponseError):
        return is_not_primary(reply)
    return isinstance(reply, Exception)


def _may_repeat(reply: object, replies: Sequence[Any]) -> bool:
    """Return True for the error of a command that was not executed, but may be."""
    if isinstance(reply, CarriedError):
        return not isinstance(reply.carried, UnusableServerError)
    if isinstance(reply, AuthenticationError | AuthorizationError):
        return False
    if isinstance(reply, BusyLoadingError):
        return len(replies) == 1
    return isinstance(reply, AskError) or is_not_primary(reply) or is_unsent(reply)


def _is_ask(reply: object) -> bool:
    return isinstance(reply, AskError) and not isinstance(reply, MovedError)


def _turn(link: Redirected, moved: AskError) -> bool:
    """Have the link use the node that MOVED names; return False if it must not."""
    try:
        link.locator.move(moved.host, moved.port)
    except CarriedError as error:
        raise error.carried from None
    return link.leave()


def _look_again(link: Redirected, error: Exception) -> None:
    """Have the next connection opened where the primary is then."""
    if not is_unsent(error):
        link.locator.suspect()
    link.leave()


def _ask(link: Redirected, command: bytes, error: AskError) -> Any:
    """Send a command to the node that ASK names, and to that one only this time."""
    try:
        address = link.locator.named(error.host, error.port)
        connection = node_connection(link.url, address, timeout=link.timeout)
        try:
            return exchange(connection, link.packed(("ASKING",)) + command, replies=2)
        finally:
            connection.disconnect()
    except FAULTS as fault:
        return fault
