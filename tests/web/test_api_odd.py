"""What clients of the JSON API may send by mistake: each gets a clear problem."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest
import redis as redis_py
from werkzeug.test import TestResponse

import resqued
from resqued.web.routes import ROUTES
from resqued.web.users import hash_token
from tests.support.every_key import key
from tests.support.pages import SAME_ORIGIN, Open, Pages
from tests.support.route_samples import API
from tests.web.test_api import check_answer, fail_a_job, get, post

FORM = "application/x-www-form-urlencoded"
PAUSE = f"{API}/queues/pause"


def send(pages: Pages, path: str, data: bytes | str, **options: Any) -> TestResponse:
    headers = {**SAME_ORIGIN, **options.pop("headers", {})}
    return pages.client.post(path, data=data, headers=headers, **options)


def is_problem(found: TestResponse, status: int, text: str = "") -> None:
    """Raise unless an answer is a problem with a status, and its detail has a text."""
    assert found.status_code == status, found.text[:500]
    assert found.mimetype == "application/problem+json"
    about = json.loads(found.text)
    assert about["status"] == status
    assert text in about["detail"], about["detail"]


@pytest.mark.parametrize(
    "kind",
    [
        FORM,
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "application/xml",
        "nonsense",
    ],
)
def test_a_body_of_another_type_is_refused(pages: Pages, kind: str) -> None:
    found = send(pages, PAUSE, b'{"name": "low"}', content_type=kind)
    is_problem(found, 415, "Content-Type: application/json")
    assert get(pages, "/queues")["queues"] == []


def test_a_compressed_body_is_refused(pages: Pages) -> None:
    headers = {"Content-Encoding": "gzip"}
    is_problem(send(pages, PAUSE, b"\x1f\x8b", headers=headers), 415, "compressed")


@pytest.mark.parametrize(
    "kind",
    [None, "application/json", "application/json; charset=UTF-8", "application/x+json"],
)
def test_json_is_taken(pages: Pages, kind: str | None) -> None:
    found = send(
        pages, PAUSE, '{"name": "zwölf/12 %2F 🦀"}'.encode(), content_type=kind
    )
    assert found.status_code == 200, found.text
    assert json.loads(found.text)["name"] == "zwölf/12 %2F 🦀"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"name": "a", "name": "b"}', "'name' is in an object twice"),
        (b'{"name": "a"} {"name": "b"}', "more than one value"),
        (b'{"name": "\\ud800"}', "lone surrogate"),
        (b'\xef\xbb\xbf{"name": "a"}', "no JSON"),
        ('{"name": "a"}'.encode("utf-16"), "no JSON"),
        (b'{"name": NaN}', "no JSON"),
        (b'{"name": 1e999}', "name is no text"),
        (b'{"name": ' + b"9" * 5_000 + b"}", "no JSON"),
        (b'{"name": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"name": null}', "name is no text"),
        (b'{"Name": "a"}', "there is no 'Name' here"),
        (b'{"name": "b", "name64": "YQ=="}', "two names"),
        (b'{"name": ""}', "name is missing"),
        (b'{"name64": "a"}', "name64 is no base64"),
        (b'"name"', "no JSON object"),
        (b"name=low", "no JSON"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused(
    pages: Pages, redis: redis_py.Redis, body: bytes, detail: str
) -> None:
    found = send(pages, PAUSE, body, content_type="application/json")
    is_problem(found, 422, detail)
    assert not redis.keys(key("*"))


def test_a_huge_body_is_refused(pages: Pages) -> None:
    for path in ("/queues/pause", "/failures/retry", "/jobs/enqueue", "/nothing"):
        found = send(pages, API + path, b" " * (2 << 20))
        if path == "/nothing":
            is_problem(found, 404, "openapi.yaml")
        else:
            is_problem(found, 413, "1 MiB")


def test_numbers_of_any_size_are_answered(pages: Pages) -> None:
    add = {"queue": "low", "class": "Archive"}
    for args in ([-1], [2**63], [-(10**300)], [1e-300], [0.1, -0.0]):
        post(pages, "/jobs/enqueue", 201, **add, args=args)
    post(pages, "/orders", 422, order="kill", worker="x:1:y", child=1.5)
    post(pages, "/orders", 404, order="kill", worker="x:1:y", child=-(10**40))
    for number in ("-1", "1e3", "0x10", "+5", " 5", "9" * 400, "٣", "1.0"):
        for path in (
            "/queues?limit=",
            "/queues/jobs?name=low&after=",
            "/groups?after=",
        ):
            found = pages.client.get(f"{API}{path}{quote(number)}")
            is_problem(found, 422, "is no number from")


def test_a_query_that_is_sent_twice_is_refused(pages: Pages) -> None:
    found = pages.client.get(f"{API}/failures?class=Mail&class=Archive")
    is_problem(found, 422, "class was sent 2 times")
    found = send(pages, f"{API}/failures/retry?class=Mail", b'{"ids": ["x"]}')
    is_problem(found, 422, "no parameter 'class'")


@pytest.mark.parametrize(
    "name", ["a/b", "../x", "ä ö", "100%", "a?b#c", "x\ny", "..", "."]
)
def test_a_queue_of_any_name_is_found(
    pages: Pages, redis: redis_py.Redis, name: str
) -> None:
    redis.sadd(key("queues"), name)
    redis.rpush(key(f"queue:{name}"), '{"class":"Mail","args":[]}')
    found = get(pages, f"/queues/jobs?name={quote(name, safe='')}")
    assert (found["name"], found["size"]) == (name, 1)
    assert get(pages, f"/why?name={quote(name, safe='')}")["answers"]
    assert post(pages, "/queues/remove", name=name)["removed"] == 1


def test_a_queue_whose_key_is_no_list_is_refused(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd(key("queues"), "low")
    redis.set(key("queue:low"), "x")
    assert "is no list" in get(pages, "/queues/jobs?name=low", 409)["detail"]
    post(pages, "/queues/remove", 409, name="low")
    assert redis.get(key("queue:low")) == b"x"


def test_ids_in_a_path_may_be_anything(pages: Pages) -> None:
    for path in ("failures/", "tasks/"):
        for odd in (
            "a%2Fb",
            "%00",
            "..%2F..%2Fqueues",
            "%ff",
            "x" * 3_000,
            "%0d%0aA:b",
        ):
            found = pages.client.get(f"{API}/{path}{odd}")
            is_problem(found, 404)


def test_a_name_and_its_base64_may_come_together(pages: Pages) -> None:
    both = {"name": "\\xff", "name64": "_w=="}
    assert post(pages, "/queues/pause", **both)["name64"] == "_w=="
    (queue,) = get(pages, "/queues")["queues"]
    assert queue == {**both, "size": 0, "paused": True}


def test_head_and_options_say_what_get_would(pages: Pages) -> None:
    for route in ROUTES:
        if not route.path.startswith(API) or "<" in route.path:
            continue
        options = pages.client.options(route.path)
        assert options.status_code == 200
        allowed = set(options.headers["Allow"].split(", "))
        assert allowed <= {"GET", "HEAD", "OPTIONS", "POST"}
        head = pages.client.head(route.path)
        if "POST" in allowed:
            is_method = head.status_code == 405
            # GET of the same path may be one with a variable.
            assert is_method or head.status_code == 404, route.path
            continue
        found = pages.client.get(route.path)
        assert (head.status_code, head.text) == (found.status_code, "")
        assert head.mimetype == found.mimetype


def test_no_answer_lets_another_site_read(pages: Pages) -> None:
    origin = {"Origin": "https://evil.example"}
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    for found in (
        pages.client.options(PAUSE, headers=origin | asked),
        pages.client.get(f"{API}/status", headers=origin),
        pages.client.post(PAUSE, json={"name": "x"}, headers=origin),
    ):
        assert not [
            each for each in found.headers if "access-control" in each[0].lower()
        ]
        assert found.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    is_problem(found, 403)


def test_tags_are_compared_as_a_list(pages: Pages, client: resqued.Client) -> None:
    client.enqueue_to("low", "Archive")
    path = f"{API}/queues/jobs?name=low"
    tag = pages.get(path).headers["ETag"]
    for known in (tag, f'"a", {tag}', f"W/{tag}", f'"a",W/{tag} , "b"', "*"):
        found = pages.get(path, 304, headers={"If-None-Match": known})
        assert (found.headers["ETag"], found.text) == (tag, "")
        assert (
            pages.client.head(path, headers={"If-None-Match": known}).status_code == 304
        )
    for other in ('"a"', '"a", "b"', "", tag.strip('"')[:-1], "W/", ",,,"):
        pages.get(path, headers={"If-None-Match": other})
    found = pages.get(path, headers={"Range": "bytes=0-3"})
    assert json.loads(found.text)


@pytest.fixture
def guarded(open_pages: Open) -> Pages:
    """Pages that only a token opens."""
    return open_pages(auth="proxy", tokens={"ci": f"operator:{hash_token('one')}"})


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_of_a_token_may_be_in_any_case(guarded: Pages, scheme: str) -> None:
    guarded.get(f"{API}/status", headers={"Authorization": f"{scheme}one"})


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        ("Bearer One", "the bearer token is none of"),
        ("Bearer two", "the bearer token is none of"),
        ("Bearer", "the bearer token is none of"),
        ("Bearer \xff\xfe", "the bearer token is none of"),
        ("Bearer " + "x" * 9_000, "the bearer token is none of"),
        ("Bearerone", "send a bearer token"),
        ("Basic Y2k6b25l", "send a bearer token"),
        ("one", "send a bearer token"),
        ("", "send a bearer token"),
    ],
)
def test_a_token_that_is_none_is_refused(
    guarded: Pages, sent: str, detail: str
) -> None:
    for path in (f"{API}/status", f"{API}/nothing"):
        found = guarded.client.get(path, headers={"Authorization": sent})
        if path.endswith("status"):
            is_problem(found, 401, detail)
            assert found.headers["WWW-Authenticate"].startswith("Bearer")
        else:
            is_problem(found, 404)
        assert "x" * 100 not in found.text


def test_a_token_in_the_query_is_no_login(guarded: Pages) -> None:
    for name in ("access_token", "token", "api_key"):
        found = guarded.client.get(f"{API}/status?{name}=one")
        is_problem(found, 401)
        assert "one" not in json.loads(found.text)["detail"].split()


def test_a_failure_is_retried_once_by_clients_that_race(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    """Each order is done by one client; the others learn that they came too late."""
    for number in range(8):
        fail_a_job(redis, number)
    several = [open_pages() for _ in range(4)]
    ids = [each["id"] for each in get(several[0], "/failures")["failures"]]

    def retry(pages: Pages) -> list[int]:
        found = [
            send(pages, f"{API}/failures/retry", json.dumps({"ids": [each]}))
            for each in ids
        ]
        for each in found:
            check_answer("POST", f"{API}/failures/retry", each)
        return [each.status_code for each in found]

    with ThreadPoolExecutor(4) as executor:
        statuses = list(executor.map(retry, several))
    for of_one in zip(*statuses, strict=True):
        assert sorted(of_one)[0] == 200
        assert set(sorted(of_one)[1:]) <= {404, 409}
    assert redis.llen(key("queue:critical")) == 8
