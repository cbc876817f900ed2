"""The application: its routes, its guard, its error pages."""

from __future__ import annotations

import os
import re
import time
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, jsonify, request, url_for
from jinja2 import StrictUndefined
from markupsafe import Markup
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from resqued.config import loader
from resqued.config.layers import read_layers
from resqued.config.web_settings import WebSettings
from resqued.core.version import VERSION
from resqued.core.visible_text import shortened, visible
from resqued.errors import ConfigError, StoreError
from resqued.log import logger
from resqued.store.redis_errors import may_have_been_executed
from resqued.web import (
    failed_links,
    formats,
    frame_page,
    guard,
    pausing_page,
    render,
    sessions,
    site,
)
from resqued.web.assets import serve_asset, url_of_asset
from resqued.web.identity import current_user
from resqued.web.own_path import requested_path
from resqued.web.proxies import Application as Application  # noqa: PLC0414
from resqued.web.proxies import Proxied
from resqued.web.raw_text import shown_bytes
from resqued.web.routes import ROUTES
from resqued.web.secret_key import secret_key
from resqued.web.sparkline import lines
from resqued.web.tabs import tabs

_MAX_FORM = 1 << 20
_REQUEST_ID = re.compile(r"[\w-]{1,64}")


def read_settings() -> WebSettings:
    """Return the settings of the environment and the configuration file.

    Raises ConfigError with every problem.
    """
    return loader.build_web(read_layers(None, {}).for_command())


def create_app(settings: WebSettings | None = None) -> Flask:
    """Return a WSGI application with all pages.

    Without settings, the environment and the configuration file count, as for
    `resqued web`. Raises ConfigError if they are not valid.
    """
    app = Flask(__name__, static_folder=None)
    own = site.Site.of(settings or read_settings())
    app.secret_key = secret_key(own.settings.secret_file)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_FORM
    sessions.install(app)
    with app.app_context():
        site.install(own)
    app.wsgi_app = Proxied(app.wsgi_app, own.settings)  # type: ignore[assignment]
    _add_routes(app)
    _prepare_templates(app)
    app.before_request(_begin)
    needed = {route.endpoint: route.capability for route in ROUTES}
    app.before_request(guard.Guard(needed).check)
    app.after_request(guard.add_headers)
    app.register_error_handler(StoreError, _store_error)
    app.register_error_handler(ConfigError, _users_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)
    return app


def _begin() -> None:
    g.began = time.monotonic()
    sent = request.headers.get("X-Request-ID", "")
    g.request_id = sent if _REQUEST_ID.fullmatch(sent) else os.urandom(6).hex()


def _add_routes(app: Flask) -> None:
    for route in ROUTES:
        app.add_url_rule(
            route.path,
            endpoint=route.endpoint,
            view_func=route.view,
            methods=list(route.methods),
            strict_slashes=False,
        )
    app.add_url_rule("/static/<digest>/<path:name>", "static", serve_asset)


def _prepare_templates(app: Flask) -> None:
    environment = app.jinja_env
    environment.undefined = StrictUndefined
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.finalize = _finalized
    environment.globals.update(
        asset=url_of_asset,
        url_for=_url_for,
        settings=app.extensions["resqued"].settings,
        version=VERSION,
        user=current_user,
        may=_may,
        now=time.time,
        tabs=tabs,
        shown_bytes=shown_bytes,
        sparkline_points=lines,
        pauser_of=pausing_page.pauser_of,
        requested_path=requested_path,
        masters_in_trouble=frame_page.masters_in_trouble,
        **formats.FUNCTIONS,
        **failed_links.FUNCTIONS,
    )
    environment.filters.update(formats.FILTERS)
    with app.app_context():
        environment.globals["ui"] = environment.get_template("ui.html").module


def _url_for(endpoint: str, **values: Any) -> str:
    """Return a URL for a template, with any text: what is not UTF-8 is escaped."""
    texts: dict[str, Any] = {
        name: value.encode("utf-8", "backslashreplace").decode()
        if isinstance(value, str)
        else value
        for name, value in values.items()
    }
    return url_for(endpoint, **texts)


def _may(capability: str) -> bool:
    user = current_user()
    return user is not None and user.may(capability)


def _finalized(value: Any) -> Any:
    """Return what a template may show of a value: hidden characters as escapes."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return visible(value)
    return value


def _store_error(error: StoreError) -> Response:
    if request.method == "POST":
        has_acted = g.get("has_acted", False)
        maybe = has_acted or may_have_been_executed(error)
        what = "it may have been done: look" if maybe else "nothing was done"
        if has_acted:
            what = "it was done, at least in part: look"
        return _problem(503, f"Redis: {error}; {what}", maybe=maybe)
    return _problem(503, f"Redis: {error}")


def _users_error(error: ConfigError) -> Response:
    """Answer while the file of users is broken; nobody outside learns more of it."""
    logger.get().error("web_error", path=request.path, exception=str(error))
    return _problem(
        503,
        f"the file of users cannot be used: `resqued web user list`"
        f" says why, and the log: {g.request_id}",
    )


def _http_error(error: HTTPException) -> Any:
    if error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        return error.get_response()
    members = getattr(error, "members", {})
    found = _problem(error.code, _detail(error), **members)
    if isinstance(error, MethodNotAllowed):
        found.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return found


def _detail(error: HTTPException) -> str:
    """Return what a problem says; a program learns where all paths are."""
    is_ours = error.description != type(error).description
    if isinstance(error, NotFound) and not is_ours and not guard.wants_json():
        return f"There is no page {shortened(request.path, 200)}."
    if guard.wants_json() and not is_ours:
        if isinstance(error, NotFound):
            return f"there is no {request.path[:200]!r}: openapi.yaml has every path"
        if isinstance(error, MethodNotAllowed):
            taken = ", ".join(sorted(error.valid_methods or ()))
            return f"{request.method[:40]!r} is no method of this path: {taken}"
    return error.description or error.name


def _unexpected(error: Exception) -> Response:
    logger.get().error(
        "web_error", path=request.path, request_id=g.request_id, exc_info=error
    )
    return _problem(500, f"this page has failed; the log says why: {g.request_id}")


def _problem(status: int, detail: str, **members: Any) -> Response:
    title = HTTPStatus(status).phrase
    if guard.wants_json() or request.endpoint == "health.readyz":
        found = jsonify(members | {"title": title, "status": status, "detail": detail})
        found.mimetype = "application/problem+json"
    elif "part" in request.args:
        line = visible(detail).replace("\n", "\\n")
        found = Response(line, mimetype="text/plain")
    else:
        is_away = status == HTTPStatus.SERVICE_UNAVAILABLE
        values: dict[str, Any] = {"title": title, "detail": detail, "is_away": is_away}
        found = render.page("problem.html", status=status, **values)
    found.status_code = status
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        found.headers["Retry-After"] = "2"
    if status == HTTPStatus.UNAUTHORIZED:
        found.headers["WWW-Authenticate"] = 'Bearer realm="resqued"'
    return found
