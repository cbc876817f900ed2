"""The kinds of StoreError that parts of the daemon distinguish."""

from __future__ import annotations

from resqued.errors import StoreError


class DisconnectedError(StoreError):
    """The server closed the connection, or could not be connected to."""


class RefusedError(StoreError):
    """The server answered with an error."""


class NotPrimaryError(RefusedError):
    """The server is not the primary now, and has executed nothing.

    The connection must be closed: the next one is opened to the primary.
    """


class WritesRefusedError(StoreError):
    """The server answers and refuses writes: a replica, no memory, a full disk."""
