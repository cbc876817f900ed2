"""Fixtures for tests in Chromium: a browser and a sample for the session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis as redis_py
from playwright.sync_api import Browser, Page, expect

from resqued.config.web_settings import WebSettings
from resqued.system.redis_server import EmbeddedServer
from resqued.web.app import create_app
from resqued.web.site import site
from tests.support import web_sample
from tests.support.browsing import PATIENCE, new_context, running_browser
from tests.support.web_server import WebServer
from tests.support.web_tour import tour

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def sample_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server with the sample, which no test changes."""
    place = tmp_path_factory.mktemp("sample")
    with EmbeddedServer.start(place, options={"requirepass": ""}) as server:
        with redis_py.Redis.from_url(server.url) as client:
            web_sample.fill(client)
        yield server


@pytest.fixture(scope="session")
def sample(
    sample_server: EmbeddedServer,
    browser: Browser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WebServer]:
    """The pages of the sample."""
    place = tmp_path_factory.mktemp("sample-web")
    with WebServer(sample_server.url, place, config=web_sample.CONFIG) as web:
        yield web


@pytest.fixture(scope="session")
def urls(sample_server: EmbeddedServer) -> dict[str, str]:
    """A URL for each endpoint with a page."""
    app = create_app(WebSettings(url=sample_server.url))
    found = tour(app)
    with app.app_context():
        site().client.close()
    return found


@pytest.fixture
def web(redis_url: str, tmp_path: Path, browser: Browser) -> Iterator[WebServer]:
    """Pages of the server of the test, which is empty at first."""
    with WebServer(redis_url, tmp_path) as web:
        yield web


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of a browser that has seen nothing yet."""
    with ExitStack() as stack:
        context = stack.enter_context(new_context(browser))
        yield context.new_page()
