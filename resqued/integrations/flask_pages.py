"""The pages as a blueprint of a Flask application."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, request

from resqued.config.web_settings import WebSettings
from resqued.integrations.mounted_site import LONGEST_BODY, MountedSite, PersonOf

_METHODS = ["GET", "HEAD", "POST"]
_FORM = "application/x-www-form-urlencoded"


def blueprint(
    user: PersonOf, settings: WebSettings | None = None, *, name: str = "resqued"
) -> Blueprint:
    """Return a blueprint with all pages, for `app.register_blueprint`.

    `user()` is called in each request; it returns the name and the role of the user,
    viewer, operator or admin, or None to refuse. Raises ConfigError if the
    configuration is not valid.
    """
    site = MountedSite(settings)
    pages = Blueprint(name, __name__)

    def show(path: str = "") -> Response:
        environ = request.environ
        whole = environ.get("PATH_INFO", "")
        tail = f"/{path.encode().decode('latin-1')}"
        prefix = environ.get("SCRIPT_NAME", "") + whole.removesuffix(tail)
        person = user()
        body, kind = _sent()
        if kind:
            environ = {**environ, "CONTENT_TYPE": kind}
        found = site.answer(environ, prefix, tail, person, body)
        answer = Response(found.body, found.status)
        answer.headers.clear()
        answer.headers.extend(found.headers)
        return answer

    for rule in ("/", "/<path:path>"):
        pages.add_url_rule(rule, "show", show, methods=_METHODS, merge_slashes=False)
    return pages


def _sent() -> tuple[bytes, str]:
    """Return the body of the request, and its type if it had to be written again.

    The application may have read its form, to log it or to find a token: then nothing
    is left of the body itself.
    """
    if request.max_content_length is None:
        request.max_content_length = LONGEST_BODY
    if body := request.get_data():
        return body, ""
    fields = list(request.form.items(multi=True))
    return (urlencode(fields).encode(), _FORM) if fields else (b"", "")
