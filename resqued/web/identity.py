"""The user of a request: from the session, a header of a proxy, or a bearer token."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from flask import Request, g, request, session
from msgspec import Struct

from resqued.core.roles import (
    ADMINISTRATOR,
    METRICS,
    ROLES,
    capabilities,
    highest_role,
)
from resqued.web.sessions import LASTS
from resqued.web.site import site
from resqued.web.users import WebAccount, is_token, read_users

_USER, _PROOF, _SINCE = "user", "proof", "since"
_BEARER = "bearer"
# An application that has the pages decides who the user is, and says so in the WSGI
# environment, as name and role; no configuration file can set this kind of login.
HOST_AUTH, HOST_USER = "host", "resqued.user"


class User(Struct, frozen=True):
    """The user of a request, with what it may do.

    `role` is "" for a token that only reads metrics. `is_program` is True for a program
    that sent a bearer token.
    """

    name: str
    role: str
    capabilities: frozenset[str]
    is_program: bool = False

    def may(self, capability: str) -> bool:
        """Return True if the user has a capability."""
        return capability in self.capabilities


class _UsersFile:
    """The accounts of a file, read again when it changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: tuple[str | int, ...] | None = None
        self._accounts: Mapping[str, WebAccount] = {}

    def accounts(self, path: str) -> Mapping[str, WebAccount]:
        """Return the accounts; raise ConfigError if the file is not valid."""
        with self._lock:
            try:
                status = Path(path).stat()
                seen: tuple[str | int, ...] = (
                    *(path, status.st_ino, status.st_size),
                    # A copy may keep the time of its content, but never this one.
                    *(status.st_mtime_ns, status.st_ctime_ns),
                )
            except OSError:
                seen = (path,)
            if seen != self._seen:
                self._accounts, self._seen = read_users(Path(path)), seen
            return self._accounts


_file = _UsersFile()


def accounts() -> Mapping[str, WebAccount]:
    """Return the users of the file of this site."""
    return _file.accounts(site().settings.users)


def current_user() -> User | None:
    """Return the user of the request; None if it has to log in."""
    return getattr(g, "user", None)


def identify() -> User | None:
    """Return who sent the request; None if nothing says so."""
    settings = site().settings
    token = sent_token()
    if token is not None:
        program = _of_token(token)
        # A proxy, or the application, may pass on a token of its own.
        if program or settings.auth not in (HOST_AUTH, "proxy"):
            return program
    if settings.auth == HOST_AUTH:
        found = request.environ.get(HOST_USER)
        return user_of(*found) if found else None
    if settings.auth == "none":
        return user_of("", ADMINISTRATOR)
    if settings.auth == "proxy":
        return _of_proxy(request)
    return _of_session()


def sent_token() -> str | None:
    """Return the bearer token of the request; None if it has none.

    The name of the scheme may be in any case (RFC 9110).
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == _BEARER else None


def user_of(name: str, role: str, *, is_program: bool = False) -> User:
    """Return a user with the capabilities of a role."""
    settings = site().settings
    found = capabilities(
        role, show_args=settings.show_args, read_only=settings.read_only
    )
    return User(name, role, found, is_program)


def _of_token(token: str) -> User | None:
    for name, stored in site().settings.tokens.items():
        scope, _, hashed = stored.partition(":")
        if not is_token(token, hashed):
            continue
        if scope in ROLES:
            return user_of(name, scope, is_program=True)
        return User(name, "", frozenset({METRICS}), is_program=True)
    return None


def _of_proxy(sent: Request) -> User | None:
    settings = site().settings
    name = _in_utf8(sent.headers.get(settings.proxy_user, ""))
    if not name or not g.is_trusted:
        return None
    groups = _in_utf8(sent.headers.get(settings.proxy_groups, "")).split(",")
    role = highest_role([group.strip() for group in groups], settings.roles)
    return user_of(name, role or "")


def _in_utf8(header: str) -> str:
    """Return what a proxy has sent, mostly in UTF-8; WSGI reads it as Latin-1."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header


def _of_session() -> User | None:
    account = accounts().get(session.get(_USER, ""))
    if account is None or session.get(_PROOF) != _proof(account):
        return None
    if not 0 <= time.time() - session.get(_SINCE, 0) < LASTS.total_seconds():
        return None
    return user_of(account.name, account.role)


def log_in(account: WebAccount) -> None:
    """Begin the session of an account."""
    session.clear()
    session[_USER], session[_PROOF] = account.name, _proof(account)
    session[_SINCE] = int(time.time())
    session.permanent = True


def log_out() -> None:
    """End the session."""
    session.clear()


def _proof(account: WebAccount) -> str:
    """Return a digest of role and hash: when they change, the session ends."""
    text = f"{account.role}:{account.password_hash}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
