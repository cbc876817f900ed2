"""The walk over all routes, roles and methods: nobody can do more than a role may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py
from flask import Flask
from werkzeug.test import TestResponse

from resqued.core.roles import CAPABILITIES, READING, ROLES, capabilities
from resqued.web.routes import ROUTES, Route
from tests.support import route_samples
from tests.support.every_key import fill
from tests.support.pages import SAME_ORIGIN, Open, Pages
from tests.support.route_samples import PUBLIC, READING_POSTS, paths_of, with_queries

TEXT = b"critical"
# The status of a page for whom nobody vouches, and of one that a role does not have.
UNKNOWN, FORBIDDEN = 401, 403
FOREIGN = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "https://localhost"},
    {"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"},
]
# The one key that a look may write: masters publish details while it is there.
WATCH = b"resque:resqued:watch"


@pytest.fixture
def guarded(open_pages: Open, redis: redis_py.Redis, tmp_path: Path) -> Pages:
    """Pages behind a proxy that says who somebody is; every key has a value."""
    fill(redis, TEXT)
    return open_guarded(open_pages, tmp_path)


def open_guarded(open_pages: Open, tmp_path: Path, **settings: object) -> Pages:
    members = {role: (role,) for role in ROLES}
    # No master of this host is asked for anything.
    own = {"trusted_proxies": ("127.0.0.1",), "control": str(tmp_path)}
    return open_pages(auth="proxy", roles=members, **own, **settings)


def as_role(role: str) -> dict[str, str]:
    return {"X-Remote-User": "anna", "X-Remote-Groups": role}


def send(pages: Pages, method: str, path: str, headers: dict[str, str]) -> TestResponse:
    return pages.client.open(path, method=method, headers=headers)


def each_path(method: str, redis: redis_py.Redis) -> Iterator[tuple[Route, str]]:
    for route in route_samples.routes(method):
        for path in paths_of(route, redis, TEXT):
            yield route, path


def test_every_route_needs_a_capability_or_is_one_of_the_public_ones() -> None:
    for route in ROUTES:
        if route.capability is None:
            assert route.path in PUBLIC, route
        else:
            assert route.capability in CAPABILITIES, route


def test_what_changes_something_needs_a_capability_for_that() -> None:
    for route in ROUTES:
        if route.capability in READING and route.methods != ("GET",):
            assert route.path in READING_POSTS, route


def test_one_view_has_one_capability() -> None:
    found = defaultdict(set)
    for route in ROUTES:
        found[route.endpoint].add(route.capability)
    assert not {each: c for each, c in found.items() if len(c) > 1}


def test_the_table_has_every_route_of_the_application(pages: Pages) -> None:
    app: Flask = pages.client.application
    known = {(route.path, method) for route in ROUTES for method in route.methods}
    for rule in app.url_map.iter_rules():
        if rule.endpoint != "static":
            methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            assert {(rule.rule, method) for method in methods} <= known


def test_a_route_without_a_sample_is_named(redis: redis_py.Redis) -> None:
    strange = Route("/x/<odd>", ROUTES[0].view)
    with pytest.raises(AssertionError, match="/x/<odd> has no sample for odd"):
        list(paths_of(strange, redis, TEXT))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_nobody_gets_in_without_a_user(
    guarded: Pages, redis: redis_py.Redis, method: str
) -> None:
    listed = "POST" if method == "POST" else "GET"
    for route, path in each_path(listed, redis):
        if route.capability is None:
            continue
        for headers in ({}, as_role("stranger") | {"X-Remote-User": ""}):
            found = send(guarded, method, path, headers | SAME_ORIGIN)
            assert found.status_code == UNKNOWN, (method, path)
        found = send(guarded, method, path, as_role("stranger") | SAME_ORIGIN)
        assert found.status_code == FORBIDDEN, (method, path)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_what_it_may_and_no_more(
    guarded: Pages, redis: redis_py.Redis, role: str, method: str
) -> None:
    may = capabilities(role)
    for route, path in each_path("POST" if method == "POST" else "GET", redis):
        found = send(guarded, method, path, as_role(role) | SAME_ORIGIN)
        is_refused = found.status_code == FORBIDDEN
        is_forbidden = route.capability is not None and route.capability not in may
        assert is_refused == is_forbidden, (role, path, found.status)
        assert found.status_code not in (UNKNOWN, 500), (role, path, found.text[:500])


def test_no_form_of_another_site_is_taken(
    guarded: Pages, redis: redis_py.Redis
) -> None:
    for _, path in each_path("POST", redis):
        for headers in FOREIGN:
            found = send(guarded, "POST", path, as_role("admin") | headers)
            assert found.status_code == FORBIDDEN, (path, headers)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_no_page_answers_to_a_foreign_host(
    guarded: Pages, redis: redis_py.Redis, method: str
) -> None:
    headers = as_role("admin") | SAME_ORIGIN | {"Host": "evil.example"}
    for _, path in each_path("POST" if method == "POST" else "GET", redis):
        is_health = path in ("/healthz", "/readyz")
        assert (send(guarded, method, path, headers).status_code == 400) != is_health, (
            path
        )


def test_read_only_pages_take_no_form(
    open_pages: Open, redis: redis_py.Redis, tmp_path: Path
) -> None:
    fill(redis, TEXT)
    pages = open_guarded(open_pages, tmp_path, read_only=True)
    for route, path in each_path("POST", redis):
        if route.capability is None or route.path in READING_POSTS:
            continue
        found = send(pages, "POST", path, as_role("admin") | SAME_ORIGIN)
        assert found.status_code == FORBIDDEN, path


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
def test_no_other_method_is_taken(
    guarded: Pages, redis: redis_py.Redis, method: str
) -> None:
    for listed in ("GET", "POST"):
        for _, path in each_path(listed, redis):
            found = send(guarded, method, path, as_role("admin") | SAME_ORIGIN)
            assert found.status_code == 405, (method, path)


def test_a_get_writes_nothing(guarded: Pages, redis: redis_py.Redis) -> None:
    writing = _writing_commands(redis)
    with redis.monitor() as monitor:
        for route, path in each_path("GET", redis):
            for method in ("GET", "HEAD", "OPTIONS"):
                for each in (path, *with_queries(route, path, TEXT)):
                    send(guarded, method, each, as_role("admin"))
        redis.echo("the end")
        sent = []
        while "the end" not in (command := monitor.next_command()["command"]):
            sent.append(command)
    assert any(command.startswith("LRANGE") for command in sent)
    writes = {
        command[:200]
        for command in sent
        if command.split(" ")[0].lower() in writing
        and command.split(" ")[1:2] != [WATCH.decode()]
    }
    assert not writes


def _writing_commands(redis: redis_py.Redis) -> set[str]:
    """Return the names of the commands that change something."""
    found = {
        name.lower()
        for name, about in redis.command().items()
        if "write" in {str(flag).lower() for flag in about["flags"]}
    }
    assert {"set", "lrem", "xadd"} <= found
    return found
