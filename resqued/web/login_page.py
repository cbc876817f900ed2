"""Login and logout, with passwords of the file of users."""

from __future__ import annotations

from math import ceil

from flask import Response, abort, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.log import logger
from resqued.web.identity import accounts, log_in, log_out
from resqued.web.own_path import is_own_path
from resqued.web.render import page
from resqued.web.site import site
from resqued.web.users import is_password

# For a name that is not there: to compare takes as long as for one that is.
_NOBODY = "scrypt$AAAAAAAAAAAAAAAAAAAAAA==$"
_WRONG = "name or password are wrong"


def show() -> Response:
    """Show the form."""
    _check_that_there_are_passwords()
    return page("login.html", error="", next=_goal())


def enter() -> BaseResponse:
    """Log in, and go to the page that was asked for."""
    _check_that_there_are_passwords()
    name, password = request.form.get("name", ""), request.form.get("password", "")
    sender = name[:100], request.remote_addr or ""
    if pause := site().attempts.begin(*sender):
        error = f"too many attempts: try again in {ceil(pause)} s"
        return page("login.html", status=429, error=error, next=_goal())
    account = accounts().get(name)
    stored = account.password_hash if account else _NOBODY
    if not is_password(password, stored) or account is None:
        logger.get().warning("web_login_failed", user=sender[0], address=sender[1])
        return page("login.html", status=401, error=_WRONG, next=_goal())
    site().attempts.succeed(*sender)
    log_in(account)
    return redirect(_goal(), 303)


def leave() -> BaseResponse:
    """Log out."""
    log_out()
    has_form = site().settings.auth == "password"
    return redirect(url_for("login.show" if has_form else "overview.show"), 303)


def _check_that_there_are_passwords() -> None:
    if site().settings.auth != "password":
        abort(404, 'these pages have no passwords: [web] auth is not "password"')


def _goal() -> str:
    """Return the path to go to after the login, always one of ours."""
    goal = request.values.get("next", "")
    is_ours = is_own_path(goal)
    return request.script_root + goal if is_ours else url_for("overview.show")
