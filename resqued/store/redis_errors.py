"""Errors of redis-py and of sockets, translated to those of this package."""

from __future__ import annotations

import re
from collections.abc import Sequence

import redis
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)

from resqued.errors import StoreError, UnusableServerError
from resqued.store.server_url import redact
from resqued.store.store_errors import (
    DisconnectedError,
    ForbiddenError,
    NotPrimaryError,
    RefusedError,
    WritesRefusedError,
)

# An error that the server has answered.
ReplyError = redis.ResponseError

# The exceptions of a connection.
FAULTS = (redis.RedisError, OSError)

_HOST_HERE = {"localhost", "127.0.0.1"}

# The most characters that are shown of a reply that repeats the command.
_SHOWN = 60

# The first words of error replies, which redis-py removes.
_WORDS = {
    AskError: "ASK",
    BusyLoadingError: "LOADING",
    ClusterCrossSlotError: "CROSSSLOT",
    ClusterDownError: "CLUSTERDOWN",
    MasterDownError: "MASTERDOWN",
    MovedError: "MOVED",
    NoPermissionError: "NOPERM",
    OutOfMemoryError: "OOM",
    ReadOnlyError: "READONLY",
    TryAgainError: "TRYAGAIN",
}

# Replies of a server that is not the primary now, or not in full. It has executed
# nothing. Old servers answer a script with -READONLY inside another error.
_ELSEWHERE = (ReadOnlyError, ClusterDownError, TryAgainError)


class ScriptUnknownError(StoreError):
    """The server does not know the script of this digest."""


class CarriedError(redis.RedisError):
    """An error of this package, for redis-py to clean up after and to pass on."""

    def __init__(self, carried: StoreError) -> None:
        super().__init__(str(carried))
        self.carried = carried


class ElsewhereError(redis.RedisError):
    """Another node, which the locator knows now, has the namespace."""


class NotPrimaryReply(redis.ResponseError):
    """A server was found that is no primary."""


def is_not_primary(error: object) -> bool:
    """Return True for the reply of a server that is not the primary now.

    It has not executed the command, which may be sent to another one.
    """
    if isinstance(error, (*_ELSEWHERE, NotPrimaryReply)):
        return True
    if not isinstance(error, redis.ResponseError):
        return False
    text = str(error)
    return text.startswith("NOREPLICAS") or "-READONLY" in text


def mark_unsent(error: Exception) -> None:
    """Note that nothing was sent, because no connection could be opened."""
    error.is_unsent = True  # type: ignore[attr-defined]


def is_unsent(error: object) -> bool:
    """Return True if no connection could be opened, so that nothing was executed."""
    return getattr(error, "is_unsent", False)


def refuses_hello(error: object) -> bool:
    """Return True for the reply of a server or a proxy that does not know HELLO.

    Not every proxy names the command that it refuses: then it is the first one.
    """
    if not isinstance(error, redis.ResponseError):
        return False
    text = str(error).upper()
    is_unknown = "UNSUPPORTED COMMAND" in text or "UNKNOWN COMMAND" in text
    return "HELLO" in text or "NOPROTO" in text or (is_unknown and is_unsent(error))


def may_have_been_executed(error: StoreError) -> bool:
    """Return True unless a command is known not to have been executed.

    It was not if the server has refused it, or if no connection could be opened.
    """
    cause = error.__cause__
    if isinstance(error, (RefusedError, WritesRefusedError, UnusableServerError)):
        return False
    return not (is_unsent(cause) or isinstance(cause, BusyLoadingError))


def translate(
    error: Exception, url: str, namespace: str = "", command: Sequence[object] = ()
) -> StoreError:
    """Return the StoreError for an error of the redis package or of a socket.

    `command` has been sent, if it is known.
    """
    if isinstance(error, CarriedError):
        return error.carried
    place, reason = f"redis at {redact(url)}", reason_of(error)
    if (unusable := _never_usable(error, reason, place, namespace)) is not None:
        return unusable
    if isinstance(error, redis.AuthenticationError):
        return StoreError(f"{place} refused the login: {_login_reason(reason)}")
    if isinstance(error, NoScriptError):
        return ScriptUnknownError(str(error))
    if _is_forbidden(error):
        way_out = _rights_for(command, url, namespace) if command else ""
        return ForbiddenError(f"{place}: {reason}{way_out}")
    hint = _hint(error, url)
    if command and reason.startswith("WRONGTYPE"):
        hint = _keys_of(command)
    return _kind_of(error)(f"{place}: {reason}{hint}")


def _rights_for(command: Sequence[object], url: str, namespace: str) -> str:
    # Loaded when it is needed, because each worker has this module.
    from resqued.store.access_rules import needed_rights

    return needed_rights(command, url, namespace)


def _keys_of(command: Sequence[object]) -> str:
    from resqued.store.access_rules import wrong_type

    return wrong_type(command)


def _is_forbidden(error: Exception) -> bool:
    """Return True for a reply that an access rule has caused, also inside a script."""
    if isinstance(error, NoPermissionError):
        return True
    text = str(error)
    return isinstance(error, redis.ResponseError) and (
        "NOPERM" in text or "The user executing the script" in text
    )


def _kind_of(error: Exception) -> type[StoreError]:
    if is_not_primary(error) or isinstance(error, AskError):
        return NotPrimaryError
    if isinstance(error, redis.ConnectionError | ConnectionError):
        return DisconnectedError
    return RefusedError if isinstance(error, redis.ResponseError) else StoreError


def _never_usable(
    error: Exception, reason: str, place: str, namespace: str
) -> UnusableServerError | None:
    """Return the error for a server that can never be used; None if it can."""
    if isinstance(error, redis.InvalidResponse):
        why = (
            "no Redis answers there, but another program: check the address and the"
            " port; a server with TLS needs rediss://"
        )
    elif isinstance(error, ClusterCrossSlotError):
        return untagged(place, namespace)
    elif "DB index is out of range" in reason or "SELECT is not allowed" in reason:
        why = f"{reason}: correct the database in the URL; that of a cluster is 0"
    elif reason.lower().startswith(("unknown command", "err unknown command")):
        why = (
            f"{reason[:_SHOWN]}: check the port: a Sentinel or a proxy has not all the"
            " commands that resqued needs; for sentinels the url is redis+sentinel://"
        )
    else:
        return None
    return UnusableServerError(f"{place}: {why}")


def untagged(place: str, namespace: str) -> UnusableServerError:
    """Return the error for a namespace whose keys are in several slots."""
    name = namespace or "resque"
    bare = name.replace("{", "").replace("}", "")
    better = "{" + (bare or "resque") + "}"
    return UnusableServerError(
        f"{place}: the namespace {name!r} has keys in several slots of this cluster:"
        f" set -N '{better}' or [redis] namespace = \"{better}\""
    )


def _login_reason(reason: str) -> str:
    """Return the reason of a refused login, or what to do without a password."""
    if "Authentication required" in reason or reason.startswith("HELLO must be called"):
        return (
            "it needs a password: redis://:PASSWORD@HOST, or redis://USER:PASSWORD@HOST"
        )
    return reason


def _hint(error: Exception, url: str) -> str:
    """Return a hint for common mistakes in the URL of a server, or ""."""
    text = str(error)
    if "WRONG_VERSION_NUMBER" in text:
        return ": what listens there speaks no TLS; without it the url is redis://"
    if is_unsent(error) and "Connection closed by server" in text:
        return (
            " before the first command; if it does so each time: a server with TLS"
            " needs rediss://, and a proxy that closes at HELLO cannot be used"
        )
    is_missing = "No such file or directory" in text
    if is_missing and not url.startswith("unix:"):
        return ": a file that the URL names, such as ssl_ca_certs, is missing"
    if "Connection refused" in text or is_missing:
        is_here = not _HOST_HERE.isdisjoint(re.split(r"[/:@\[\]]", url))
        is_one = "+" not in url.partition("://")[0]
        way_out = "; `resqued redis start` starts one" if is_here and is_one else ""
        return f": no server listens there{way_out}"
    return ""


def reason_of(error: Exception) -> str:
    """Return the text of an error in one line, with the first word of the reply."""
    text = " ".join(str(error).split()).rstrip(".")
    word = _WORDS.get(type(error), "")
    if word and not text.startswith(word):
        text = f"{word} {text}".rstrip()
    return text or type(error).__name__
