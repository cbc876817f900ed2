"""What stands before every view: host, user, capability, same origin; and headers.

The rule of a route is its capability in routes.py. Nothing is decided in a view.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

from flask import Response, abort, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.roles import CAPABILITIES, METRICS
from resqued.web.identity import HOST_AUTH, current_user, identify, sent_token
from resqued.web.own_path import requested_path
from resqued.web.proxies import TRUSTED, address_in
from resqued.web.site import site

SAFE = ("GET", "HEAD", "OPTIONS")
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
# What load balancers ask, by any name or none. They say nothing of jobs, and nothing
# that is wrong with a file may have a process ended that answers.
HEALTH = ("health.healthz", "health.readyz")

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
        endpoint = request.endpoint
        if endpoint in HEALTH:
            return None
        capability = self._needed.get(endpoint) if endpoint else None
        _check_host(is_scrape=capability == METRICS)
        if endpoint == "static" or _is_open(capability):
            return None
        g.user = identify()
        if endpoint is None or endpoint not in self._needed:
            return None  # A path that is not there: the problem page has tabs.
        if capability is not None:
            user = current_user()
            if user is None:
                return _ask_to_log_in()
            if not user.may(capability):
                abort(403, _refusal(capability))
        if request.method not in SAFE:
            _check_origin()
        return None


def _is_open(capability: str | None) -> bool:
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
        goal = requested_path() if request.method in SAFE else "/"
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


def _check_host(*, is_scrape: bool) -> None:
    """Refuse a Host that is not ours: the name may have been bound to this address.

    An address cannot be bound so, and Prometheus asks each pod by its own.
    """
    settings = site().settings
    if settings.auth == HOST_AUTH:
        return  # The application that has the pages checks its own hosts.
    name = urlsplit(f"//{request.host}").hostname or ""
    own = {urlsplit(f"//{each}").hostname or each for each in LOCAL_NAMES}
    listens_on = urlsplit(f"//{settings.listen}").hostname or ""
    if name in {*own, listens_on, *(host.lower() for host in settings.hosts)}:
        return
    if is_scrape and address_in(name) is not None:
        return
    abort(400, f"the host {name!r} is not one of [web] hosts")


def _check_origin() -> None:
    """Refuse a form that another site has sent.

    Browsers send Sec-Fetch-Site only to addresses that they trust; elsewhere Origin
    counts, and of old browsers, which send it to other sites alone, the Referer. A
    program with a bearer token sends none, and no site can send a token.
    """
    user = current_user()
    if user and user.is_program:
        return
    # Not request.host_url, which has names of other scripts as people read them.
    own = f"{request.scheme}://{request.host}"
    headers = request.headers
    if (site_of_sender := headers.get("Sec-Fetch-Site")) is not None:
        is_own = site_of_sender == "same-origin"
    elif (origin := headers.get("Origin")) is not None:
        is_own = origin == own
    else:
        is_own = headers.get("Referer", "").startswith(f"{own}/")
    if is_own:
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
    # Nor may a file be missing for longer than it is: the process of another version
    # has it, while one is replaced.
    if request.endpoint != "static" or response.status_code >= HTTPStatus.BAD_REQUEST:
        response.headers["Cache-Control"] = "no-store"
    return response
