"""The kinds of StoreError that parts of the daemon distinguish."""

from __future__ import annotations

from resqued.errors import StoreError


class DisconnectedError(StoreError):
    """The server closed the connection, or could not be connected to."""


class RefusedError(StoreError):
    """The server answered with an error."""


class ForbiddenError(RefusedError):
    """The user of the connection may not run the command, or not on its key."""


class NotPrimaryError(RefusedError):
    """The server is not the primary now, and has executed nothing.

    The connection must be closed: the next one is opened to the primary.
    """


class WritesRefusedError(StoreError):
    """The server answers and refuses writes: a replica, no memory, a full disk."""


def is_about_key(error: StoreError) -> bool:
    """Return True if a server that answers has refused one command because of its key.

    Others of the same user may be executed.
    """
    if isinstance(error, ForbiddenError):
        return True
    return is_wrong_type(error)


def is_wrong_type(error: StoreError) -> bool:
    """Return True if the server has refused a command because of its key's type."""
    return isinstance(error, RefusedError) and "WRONGTYPE" in str(error)
