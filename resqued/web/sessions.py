"""The cookie of a session: signed, and sent to these pages alone.

It holds the user, the time of the login and the messages for the next page. No server
keeps sessions, so that they outlive a restart and an outage of Redis.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta

from flask import Flask, flash, request, session
from flask.sessions import SecureCookieSessionInterface

# A session ends so long after its login, however much it is used.
LASTS = timedelta(hours=12)
# Browsers drop a cookie of more than 4,096 bytes. Messages are coded, so that they take
# a third more than this.
_MESSAGES = 2_000
_PORT = re.compile(r":(\d{1,5})$", re.ASCII)


class PageSessions(SecureCookieSessionInterface):
    """Has the cookie sent to these pages alone, and by TLS where they have it."""

    def get_cookie_name(self, app: Flask) -> str:
        """Return the name of the cookie, with the port that the browser asks.

        A browser sends cookies to all ports of a host: pages at two of them would end
        each other's sessions.
        """
        name = super().get_cookie_name(app)
        port = _PORT.search(request.host)
        return f"{name}-{port[1]}" if port else name

    def get_cookie_path(self, _: Flask) -> str:
        """Return the path below which the pages are: other applications are beside."""
        return request.script_root or "/"

    def get_cookie_secure(self, _: Flask) -> bool:
        """Return True if the browser, or the trusted proxy, has sent it by TLS."""
        return request.is_secure


def install(app: Flask) -> None:
    """Give an application these sessions."""
    app.session_interface = PageSessions()
    app.config.update(
        PERMANENT_SESSION_LIFETIME=LASTS,
        SESSION_REFRESH_EACH_REQUEST=False,
        SESSION_COOKIE_NAME="resqued",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )


def leave_message(text: str, kind: str) -> None:
    """Keep a message for the next page.

    A long one is cut. Where pages that nobody has seen yet have too many, the oldest
    go.
    """
    flash(_cut(text), kind)
    kept = session["_flashes"]
    while len(kept) > 1 and _length(kept) > _MESSAGES:
        kept = kept[1:]
    session["_flashes"] = kept


def _cut(text: str) -> str:
    cut = text
    while _length(cut) > _MESSAGES:
        cut = cut[: len(cut) * 3 // 4]
    return cut if cut == text else f"{cut}…"


def _length(value: object) -> int:
    return len(json.dumps(value))
