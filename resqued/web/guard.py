"""What stands before every view: host, user, capability, same origin; and headers.

The rule of a route is its capability in routes.py. Nothing is decided in a view.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from flask import Response, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.roles import CAPABILITIES, METRICS
from resqued.web.identity import HOST_AUTH, current_user, identify, sent_token
from resqued.web.proxies import TRUSTED
from resqued.web.site import site

SAFE = ("GET", "HEAD", "OPTIONS")
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'none'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # no-referrer would make the Origin of our own forms null.
    "Referrer-Policy": "same-origin",
}


class Guard:
    """Decides about each request by the capability that its route declares."""

    def __init__(self, needed: Mapping[str, str | None]) -> None:
        self._needed = needed

    def check(self) -> BaseResponse | None:
        """Return None to let a request pass, or the answer; may abort with a status.

        400: a foreign Host; 401: nobody is logged in; 403: the role has not the
        capability, or another site has sent the form.
        """
        g.is_trusted = request.environ.get(TRUSTED, False)
        _check_host()
        endpoint = request.endpoint
        if endpoint == "static":
            return None
        g.user = identify()
        if endpoint is None or endpoint not in self._needed:
            return None  # A path that is not there: the problem page has tabs.
        capability = self._needed[endpoint]
        if capability is not None and not _is_open(capability):
            user = current_user()
            if user is None:
                return _ask_to_log_in()
            if not user.may(capability):
                abort(403, _refusal(capability))
        if request.method not in SAFE:
            _check_origin()
        return None


def _is_open(capability: str) -> bool:
    return capability == METRICS and site().settings.metrics == "open"


def _refusal(capability: str) -> str:
    user, doing = current_user(), CAPABILITIES[capability]
    if site().settings.read_only and user and user.role:
        return f"these pages are read-only ([web] read_only): they cannot {doing}"
    role = (user and user.role) or "none"
    return f"your role ({role}) may not {doing}: an administrator can change it"


def _ask_to_log_in() -> BaseResponse:
    # A part of a page must not become the form: its page asks for it by itself.
    is_page = not wants_json() and "part" not in request.args
    if site().settings.auth == "password" and is_page:
        goal = request.full_path if request.method in SAFE else "/"
        return redirect(url_for("login.show", next=goal), 303)
    if sent_token() is not None:
        return abort(
            401, "the bearer token is none of [web.tokens]: `resqued web token new`"
        )
    return abort(
        401, "nobody is logged in: send a bearer token, or ask the proxy for a user"
    )


def wants_json() -> bool:
    """Return True if a program asks, which wants problems as JSON."""
    return request.path.startswith("/api/")


def _check_host() -> None:
    """Refuse a Host that is not ours: the name may have been bound to this address."""
    settings = site().settings
    if settings.auth == HOST_AUTH:
        return  # The application that has the pages checks its own hosts.
    name = urlsplit(f"//{request.host}").hostname or ""
    own = {urlsplit(f"//{each}").hostname or each for each in LOCAL_NAMES}
    listens_on = urlsplit(f"//{settings.listen}").hostname or ""
    if name in {*own, listens_on, *(host.lower() for host in settings.hosts)}:
        return
    abort(400, f"the host {name!r} is not one of [web] hosts")


def _check_origin() -> None:
    """Refuse a form that another site has sent.

    Browsers send Sec-Fetch-Site only to addresses that they trust; elsewhere Origin
    counts. A program with a bearer token sends neither, and no site can send a token.
    """
    user = current_user()
    if user and user.is_program:
        return
    site_of_sender = request.headers.get("Sec-Fetch-Site")
    if site_of_sender is not None:
        if site_of_sender == "same-origin":
            return
    elif request.headers.get("Origin") == request.host_url.rstrip("/"):
        return
    if wants_json():
        abort(403, "send a bearer token, of `resqued web token new NAME --scope ROLE`")
    abort(
        403,
        "the form does not come from these pages (Sec-Fetch-Site, Origin): open the"
        " page and try again; behind a proxy, [web] trusted_proxies must name it",
    )


def add_headers(response: Response) -> Response:
    """Add the headers that keep other sites and caches out, and count the answer."""
    site().requests.add(response.status_code)
    for name, value in HEADERS.items():
        response.headers[name] = value
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response
