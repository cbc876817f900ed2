"""Fixtures for tests of the web front end: pages in this process, a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from msgspec.structs import replace
from werkzeug.routing import Rule

import resqued
from resqued.config.web_settings import WebSettings
from resqued.web.app import create_app
from resqued.web.failure_index import close_failure_index
from resqued.web.site import site
from resqued.web.users_file import add_user
from tests.support.compiled_once import KeptTemplates, kept_builders
from tests.support.pages import PASSWORD, Open, Pages
from tests.support.shared_reads import end_readers
from tests.support.wait import scaled


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Compile each template and route once, and not for each of hundreds of sites."""
    options = {**Flask.jinja_options, "bytecode_cache": KeptTemplates()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", options)
        builder = kept_builders(Rule._compile_builder)
        patch.setattr(Rule, "_compile_builder", builder)
        yield


@pytest.fixture
def open_pages(redis_url: str) -> Iterator[Open]:
    """Return pages with settings of [web]; the server is empty at first."""
    apps, clients = [], []

    def make(**settings: Any) -> Pages:
        app = create_app(replace(WebSettings(), **{"url": redis_url, **settings}))
        apps.append(app)
        with app.app_context():
            clients.append(site().client)
        return Pages(app.test_client())

    yield make
    end_readers()
    for app in apps:
        # Its thread would send commands while a later test counts them.
        close_failure_index(app, scaled(20))
    for client in clients:
        client.close()


@pytest.fixture
def pages(open_pages: Open) -> Pages:
    """The pages as somebody without a login has them: an administrator."""
    return open_pages()


@pytest.fixture
def client(redis_url: str) -> Iterator[resqued.Client]:
    """A client of the library for the same server."""
    with resqued.Client(redis_url) as client:
        yield client


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """A file of users with one, the operator anna."""
    path = tmp_path / "users"
    add_user(path, "anna", "operator", PASSWORD)
    return path


@pytest.fixture
def guarded(open_pages: Open, users: Path) -> Pages:
    """Pages that ask those users for their password."""
    return open_pages(auth="password", users=str(users))
