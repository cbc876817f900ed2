"""The pages in the URLs of a Django project; no models, no migrations."""

from __future__ import annotations

import sys
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt

from resqued.config.web_settings import WebSettings
from resqued.core.roles import ADMINISTRATOR, VIEWER
from resqued.integrations.mounted_site import MountedSite, Person, PersonOf


def staff(request: HttpRequest) -> Person:
    """Return superusers as administrators and other staff as viewers."""
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_active or not user.is_staff:
        return None
    role = ADMINISTRATOR if user.is_superuser else VIEWER
    return user.get_username(), role


def urls(user: PersonOf = staff, settings: WebSettings | None = None) -> list[Any]:
    """Return URL patterns for `path("resque/", include(urls()))`.

    `user(request)` returns the name and the role of the user, viewer, operator or
    admin, or None to refuse. The pages check the origin of a form by themselves, so
    they need no token of Django. Raises ConfigError if the configuration is not valid.
    """
    site = MountedSite(settings)

    @csrf_exempt  # type: ignore[untyped-decorator]
    def show(request: HttpRequest, path: str = "") -> HttpResponse:
        environ = dict(_environ(request))
        tail = f"/{path.encode().decode('latin-1')}"
        whole = request.path.encode().decode("latin-1")
        prefix = whole.removesuffix(tail)
        found = site.answer(environ, prefix, tail, user(request), request.body)
        answer = HttpResponse(found.body, status=found.status)
        for name in list(answer.headers):
            del answer.headers[name]
        for name, value in found.headers:
            if name.lower() == "set-cookie":
                answer.cookies.load(value)
            else:
                answer.headers[name] = value
        return answer

    return [re_path(r"^(?P<path>.*)$", show, name="resqued")]


def _environ(request: HttpRequest) -> dict[str, Any]:
    """Return the WSGI environment of a request; under ASGI it is made from META."""
    found: dict[str, Any] = getattr(request, "environ", None) or {
        **{
            name: value
            for name, value in request.META.items()
            if isinstance(value, str)
        },
        "REQUEST_METHOD": request.method,
        "wsgi.url_scheme": request.scheme,
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    return found
