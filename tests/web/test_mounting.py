"""The pages inside other applications: below a path, with the users of those."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import django
import pytest
from a2wsgi import WSGIMiddleware
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest
from django.urls import include, path
from flask import Flask, request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

import resqued
from resqued.config.web_settings import WebSettings
from resqued.integrations import django_pages, flask_pages
from resqued.web.app import create_app
from tests.support.django_site import configure_django
from tests.support.pages import SAME_ORIGIN

BELOW = "/admin/jobs ü"
Mounted = Callable[..., Client]


def person() -> tuple[str, str] | None:
    role = request.headers.get("X-Test-Role")
    return ("anna", role) if role else None


def with_flask(settings: WebSettings) -> Any:
    app = Flask(__name__)
    app.register_blueprint(flask_pages.blueprint(person, settings), url_prefix=BELOW)
    return app


def django_person(found: HttpRequest) -> tuple[str, str] | None:
    role = found.headers.get("X-Test-Role")
    return ("anna", role) if role else None


def with_django(settings: WebSettings) -> Any:
    configure_django()
    pages = django_pages.urls(django_person, settings)
    urls = ModuleType("urls")
    urls.urlpatterns = [path(f"{BELOW[1:]}/", include((pages, "resqued")))]  # type: ignore[attr-defined]
    django_settings.ROOT_URLCONF = urls
    return WSGIHandler()


@pytest.fixture(params=[with_flask, with_django])
def mounted(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Client]:
    """An application with the pages below BELOW; X-Test-Role names the role."""
    yield Client(request.param(WebSettings(url=redis_url)))
    if request.param is with_django:
        django.urls.clear_url_caches()


def get(client: Client, page: str, role: str | None = "admin") -> Any:
    headers = {"X-Test-Role": role} if role else {}
    return client.get(BELOW + page, headers=headers)


def test_links_stay_below_the_path(mounted: Client, redis_url: str) -> None:
    with resqued.Client(redis_url) as client:
        client.enqueue_to("a/b", "Archive", 1)
    found = get(mounted, "/queues")
    assert found.status_code == 200, found.text[:500]
    links = found.text.split('class="name" href="')[1].split('"')[0]
    assert unquote(links) == f"{BELOW}/queues/a/b"
    assert "Archive" in get(mounted, "/queues/a/b").text
    style = found.text.split('rel="stylesheet" href="')[1].split('"')[0]
    assert mounted.get(style, headers={"X-Test-Role": "viewer"}).status_code == 200


def test_the_path_itself_leads_to_the_overview(mounted: Client) -> None:
    found = get(mounted, "/")
    assert found.status_code == 302
    assert found.location.endswith("/admin/jobs%20%C3%BC/overview")


def test_the_application_decides_who_the_user_is(mounted: Client) -> None:
    assert get(mounted, "/queues", role=None).status_code == 401
    assert get(mounted, "/queues", role="boss").status_code == 403
    assert "role viewer" in get(mounted, "/queues", role="viewer").text


def test_forms_need_no_token_of_the_application(mounted: Client) -> None:
    headers = {"X-Test-Role": "admin"}
    assert mounted.post(f"{BELOW}/logout", headers=headers).status_code == 403
    found = mounted.post(f"{BELOW}/logout", headers={**headers, **SAME_ORIGIN})
    assert found.status_code == 303


def test_the_headers_of_the_pages_stay(mounted: Client) -> None:
    found = get(mounted, "/queues")
    assert found.headers.getlist("Cache-Control") == ["no-store"]
    assert "default-src 'none'" in found.headers["Content-Security-Policy"]


def test_any_wsgi_server_can_mount_them(redis_url: str) -> None:
    def other(_environ: Any, start: Any) -> list[bytes]:
        start("404 Not Found", [])
        return []

    pages = create_app(WebSettings(url=redis_url))
    client = Client(DispatcherMiddleware(other, {"/a/b": pages}))
    assert 'href="/a/b/overview"' in client.get("/a/b/queues").text
    assert client.get("/queues").status_code == 404


def test_asgi_applications_can_mount_them(redis_url: str) -> None:
    pages = WSGIMiddleware(create_app(WebSettings(url=redis_url)))  # type: ignore[arg-type]
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/a/queues",
        "raw_path": b"/a/queues",
        "root_path": "/a",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(pages(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 200
    assert b'href="/a/overview"' in b"".join(m.get("body", b"") for m in sent[1:])


def test_a_form_that_the_application_has_read_reaches_the_pages(
    redis_url: str,
) -> None:
    seen = []
    app = with_flask(WebSettings(url=redis_url))
    # As an extension does that looks for its token, or a log of requests.
    app.before_request(lambda: seen.append(request.form.get("name")))
    client = Client(app)
    headers = {"X-Test-Role": "admin", **SAME_ORIGIN}
    for path_, form, kind in (
        ("/queues/pause", {"only": "bWFpbA=="}, None),
        ("/queues/pause", {"only": "cGF5"}, "multipart/form-data"),
    ):
        client.post(BELOW + path_, data=form, headers=headers, content_type=kind)
    with resqued.Client(redis_url) as own:
        assert own.paused_queues() == ["mail", "pay"]
    assert seen == [None, None]
    body = {"json": {"name": "mail"}}
    found = client.post(f"{BELOW}/api/v1/queues/resume", headers=headers, **body)
    assert found.status_code == 200, found.text
    large = client.post(f"{BELOW}/queues/pause", data=b"x" * (2 << 20), headers=headers)
    assert large.status_code == 413


def test_the_prefix_of_a_proxy_is_that_of_the_application(mounted: Client) -> None:
    sent = {"X-Test-Role": "viewer", "X-Forwarded-Prefix": "/app"}
    found = mounted.get(f"{BELOW}/queues", headers=sent)
    assert f'href="{BELOW}/overview"' in unquote(found.text)
    assert 'href="/app/' not in found.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_django_by_asgi_has_pages_and_forms(redis_url: str, method: str) -> None:
    with_django(WebSettings(url=redis_url))
    body = b"only=bWFpbA%3D%3D" if method == "POST" else b""
    path_ = f"{BELOW}/queues/pause" if body else f"{BELOW}/queues"
    scope = {
        "type": "http",
        "method": method,
        "path": path_,
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"x-test-role", b"admin"),
            (b"sec-fetch-site", b"same-origin"),
            (b"content-type", b"application/x-www-form-urlencoded"),
            (b"content-length", str(len(body)).encode()),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }
    sent: list[dict[str, Any]] = []

    async def run() -> None:
        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await ASGIHandler()(scope, receive, send)

    asyncio.run(run())
    assert sent[0]["status"] == (303 if body else 200)
    if body:
        with resqued.Client(redis_url) as client:
            assert client.paused_queues() == ["mail"]


def test_a_token_of_the_application_is_none_of_the_pages(mounted: Client) -> None:
    headers = {"X-Test-Role": "viewer", "Authorization": "Bearer of-the-application"}
    assert mounted.get(f"{BELOW}/queues", headers=headers).status_code == 200
    # No token of ours: another site may have sent the form.
    found = mounted.post(f"{BELOW}/failed/search", headers=headers)
    assert found.status_code == 403
    del headers["X-Test-Role"]
    assert mounted.get(f"{BELOW}/queues", headers=headers).status_code == 401
