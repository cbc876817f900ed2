"""The JSON API: what openapi.yaml describes is what it answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from werkzeug.test import TestResponse

import resqued
from resqued.web.routes import ROUTES
from resqued.web.users import hash_token
from tests.support.every_key import fill, key
from tests.support.pages import SAME_ORIGIN, Open, Pages
from tests.support.route_samples import API, described_paths, paths_of

DESCRIPTION = Path(resqued.__file__).parent / "web" / "static" / "openapi.yaml"
TEXT = b"critical"


@cache
def description() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text())
    return found


def get(pages: Pages, path: str, status: int = 200) -> Any:
    return json.loads(pages.get(API + path, status).text)


def post(pages: Pages, path: str, status: int = 200, **body: Any) -> Any:
    found = pages.client.post(API + path, json=body, headers=SAME_ORIGIN)
    assert found.status_code == status, (path, found.status, found.text[:500])
    return json.loads(found.text)


def operation(method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = described_paths()[path][method.lower()]
    return found


def check_answer(method: str, route_path: str, found: TestResponse) -> None:
    """Raise unless an answer is as the description says, and has nothing more."""
    responses = operation(method, route_path)["responses"]
    about = responses.get(str(found.status_code)) or responses["default"]
    if "$ref" in about:
        about = description()["components"]["responses"][about["$ref"].split("/")[-1]]
    (kind, content), *_ = about["content"].items()
    assert found.mimetype == kind, (route_path, found.mimetype)
    if kind.endswith("yaml"):
        return
    _validator(json.dumps(content["schema"])).validate(json.loads(found.text))
    _check_members(content["schema"], json.loads(found.text))


@cache
def _validator(schema: str) -> Draft202012Validator:
    """Return what checks a schema; to follow its references takes long."""
    whole = {**json.loads(schema), "components": description()["components"]}
    return Draft202012Validator(whole)


def _check_members(schema: dict[str, Any], value: Any) -> None:
    """Raise if an answer has a member that the description does not name."""
    if isinstance(value, dict):
        known = set(_properties(schema))
        assert value.keys() <= known | {"cut"}, value.keys() - known


def _properties(schema: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        name = schema["$ref"].split("/")[-1]
        schema = description()["components"]["schemas"][name]
    yield from schema.get("properties", ())
    for each in schema.get("allOf", ()):
        yield from _properties(each)


def test_the_description_is_valid() -> None:
    validate(description())


def test_the_description_has_every_route() -> None:
    listed = {
        (path, method.upper())
        for path, methods in described_paths().items()
        for method in methods
    }
    routes = {
        (route.path, method)
        for route in ROUTES
        for method in route.methods
        if route.path.startswith(API)
    }
    assert listed == routes


def test_every_answer_is_as_described(pages: Pages, redis: redis_py.Redis) -> None:
    fill(redis, TEXT)
    redis.set("resque:stat:processed", 7)
    for route in ROUTES:
        if route.path.startswith(API) and route.methods == ("GET",):
            for path in paths_of(route, redis, TEXT):
                check_answer("GET", route.path, pages.client.get(path))
            needs_name = {"/queues/jobs", "/why"} & {route.path.removeprefix(API)}
            if needs_name:
                found = pages.get(f"{route.path}?name=critical")
                check_answer("GET", route.path, found)
    found = pages.get(f"{API}/history?series=done")
    check_answer("GET", f"{API}/history", found)


def test_every_order_without_a_body_is_a_problem(pages: Pages) -> None:
    for route in ROUTES:
        if route.path.startswith(API) and route.methods == ("POST",):
            for body in (b"", b"[]", b"{", b"[" * 5_000, b'{"odd": 1}', b"\xff"):
                found = pages.client.post(route.path, data=body, headers=SAME_ORIGIN)
                assert found.status_code == 422, (route.path, found.text)
                check_answer("POST", route.path, found)


def fail_a_job(redis: redis_py.Redis, number: int = 1) -> None:
    entry = {
        "failed_at": "2026/01/02 03:04:05 UTC",
        "payload": {"class": "Archive", "args": [number, {"password": "x"}]},
        "exception": "ValueError",
        "error": "no",
        "backtrace": [],
        "worker": "web1:1:critical",
        "queue": "critical",
    }
    # Without blanks, as workers write it.
    redis.rpush(key("failed"), json.dumps(entry, separators=(",", ":")))


def test_a_failure_is_retried_once(pages: Pages, redis: redis_py.Redis) -> None:
    fail_a_job(redis)
    (found,) = get(pages, "/failures")["failures"]
    done = post(pages, "/failures/retry", ids=[found["id"]])
    assert done == {"done": [found["id"]], "gone": [], "problems": []}
    again = post(pages, "/failures/retry", 409, ids=[found["id"]])
    assert "retried since" in again["detail"]
    assert redis.llen(key("queue:critical")) == 1
    (retried,) = get(pages, "/failures?retried=true")["failures"]
    assert get(pages, f"/failures/{found['id']}")["id"] == retried["id"]
    (action,) = get(pages, "/audit")["actions"]
    assert (action["action"], action["ids"]) == ("retry", [found["id"]])


def test_an_order_says_what_was_done_to_which(
    pages: Pages, redis: redis_py.Redis
) -> None:
    fail_a_job(redis)
    redis.rpush(key("failed"), "no job")
    jobless, job = get(pages, "/failures")["failures"]
    ids = [job["id"], jobless["id"], "nothing"]
    done = post(pages, "/failures/retry", ids=ids, remove=True)
    assert (done["done"], done["gone"]) == ([job["id"]], ["nothing"])
    assert done["problems"][0]["id"] == jobless["id"]
    removed = post(pages, "/failures/remove", ids=ids)
    assert removed["done"] == [jobless["id"]]
    post(pages, "/failures/remove", 404, ids=ids)
    assert redis.llen(key("failed")) == 0


def test_a_list_is_read_in_pages_while_it_grows(
    pages: Pages, redis: redis_py.Redis
) -> None:
    for number in range(7):
        fail_a_job(redis, number)
    seen, cursor = [], ""
    while cursor is not None:
        found = get(pages, f"/failures?limit=3&before={cursor}")
        seen += [each["payload"]["args"][0] for each in found["failures"]]
        cursor = found["next"]
        fail_a_job(redis, 100)
    assert seen == [6, 5, 4, 3, 2, 1, 0]


def test_queues_are_read_in_pages(pages: Pages, redis: redis_py.Redis) -> None:
    redis.sadd(key("queues"), *(f"q{n}" for n in range(5)), b"\xff")
    seen, cursor = [], ""
    while cursor is not None:
        found = get(pages, f"/queues?limit=2&after={cursor}")
        seen += found["queues"]
        cursor = found["next"]
    assert [each["name"] for each in seen] == [*(f"q{n}" for n in range(5)), "\\xff"]
    assert base64.urlsafe_b64decode(seen[-1]["name64"]) == b"\xff"


def test_a_queue_with_any_name_is_paused_and_removed(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd(key("queues"), b"\xff")
    redis.rpush(key(b"queue:\xff"), "x")
    name64 = base64.urlsafe_b64encode(b"\xff").decode()
    assert not post(pages, "/queues/pause", name64=name64)["was_paused"]
    assert post(pages, "/queues/pause", name64=name64)["was_paused"]
    assert get(pages, "/queues")["queues"][0]["paused"]
    assert post(pages, "/queues/resume", name64=name64)["was_paused"]
    (job,) = get(pages, f"/queues/jobs?name64={name64}")["jobs"]
    assert (job["class"], job["raw"]) == (None, "x")
    assert post(pages, "/queues/remove", name64=name64)["removed"] == 1
    post(pages, "/queues/remove", 404, name64=name64)


def test_a_job_is_enqueued(pages: Pages, redis: redis_py.Redis) -> None:
    job = {"queue": "low", "class": "Archive", "args": [1, {"a": None}]}
    assert post(pages, "/jobs/enqueue", 201, **job)["enqueued"]
    (found,) = get(pages, "/queues/jobs?name=low")["jobs"]
    assert (found["class"], found["args"]) == ("Archive", [1, {"a": None}])
    for wrong in ({"queue": "a,b"}, {"queue": ""}, {"class": ""}, {"args": "x"}):
        post(pages, "/jobs/enqueue", 422, **(job | wrong))


def test_delayed_and_quarantined_jobs_and_schedules_are_acted_on(
    pages: Pages, redis: redis_py.Redis
) -> None:
    fill(redis, TEXT)
    ids = {each["id"] for each in get(pages, "/delayed")["jobs"] if "raw" not in each}
    (retry,) = get(pages, "/retries?limit=1")["jobs"]
    assert retry["id"] in ids
    assert retry["failure"]["payload"]["class"] == "critical"
    assert post(pages, "/retries/cancel", ids=[retry["id"]])["done"] == [retry["id"]]
    other = (ids - {retry["id"]}).pop()
    assert post(pages, "/delayed/run", ids=[other])["done"] == [other]
    post(pages, "/delayed/cancel", 404, ids=[other])
    set_aside = [each["id"] for each in get(pages, "/quarantine")["jobs"]]
    outcome = post(pages, "/quarantine/release", ids=set_aside)
    assert (len(outcome["done"]), len(outcome["problems"])) == (1, 1)
    states = {
        each["name"]: each["state"] for each in get(pages, "/schedules")["schedules"]
    }
    assert states["critical"] == "disabled"
    assert states["oddcritical"] == "unreadable"
    assert post(pages, "/schedules/enable", name="critical")["changed"]
    assert not post(pages, "/schedules/enable", name="critical")["changed"]
    post(pages, "/schedules/disable", 404, name="nothing")


def test_a_live_worker_is_not_removed(pages: Pages, redis: redis_py.Redis) -> None:
    post(pages, "/workers/remove", 404, id="web1:1:nothing")
    redis.sadd(key("workers"), "web1:1:critical")
    assert post(pages, "/workers/remove", id="web1:1:critical")["job"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/queues?limit=0",
        "/queues?limit=1001",
        "/queues?limit=²",
        "/queues?q=" + "x" * 501,
        "/queues?size=1",
        "/queues?after=%ff",
        "/queues/jobs",
        "/queues/jobs?name64=!",
        "/queues/jobs?name=critical&after=-1",
        "/failures?before=x",
        "/failures?retried=maybe",
        "/failures?clas=Archive",
        "/history?range=1y",
        "/history?series=odd",
        "/history?series=done&step=7",
        "/audit?before=x",
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    pages: Pages, redis: redis_py.Redis, path: str
) -> None:
    redis.sadd(key("queues"), "critical")
    found = pages.get(API + path, 422)
    assert found.mimetype == "application/problem+json"


def test_every_problem_is_json(open_pages: Open, pages: Pages) -> None:
    problems = {
        404: pages.client.get(f"{API}/nothing"),
        405: pages.client.delete(f"{API}/queues"),
        403: pages.client.post(f"{API}/queues/pause", json={"name": "x"}),
        400: pages.client.get(f"{API}/queues", headers={"Host": "evil.example"}),
        401: open_pages(auth="proxy").client.get(f"{API}/queues"),
        413: pages.client.post(
            f"{API}/queues/pause", data=b" " * (2 << 20), headers=SAME_ORIGIN
        ),
        503: open_pages(url="redis://127.0.0.1:1").client.get(f"{API}/queues"),
    }
    for status, found in problems.items():
        assert found.status_code == status, found.text
        assert found.mimetype == "application/problem+json"
        assert json.loads(found.text)["status"] == status
    assert problems[405].headers["Allow"] == "GET, HEAD, OPTIONS"
    assert problems[401].headers["WWW-Authenticate"].startswith("Bearer")
    assert problems[503].headers["Retry-After"] == "2"


def test_an_unchanged_answer_is_not_sent_again(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("critical", "Archive", 1)
    path = f"{API}/queues/jobs?name=critical"
    tag = pages.get(path).headers["ETag"]
    assert pages.get(path, 304, headers={"If-None-Match": tag}).text == ""
    client.enqueue_to("critical", "Archive", 2)
    pages.get(path, headers={"If-None-Match": tag})


def test_an_order_without_a_token_is_asked_to_send_one(pages: Pages) -> None:
    found = pages.client.post("/api/v1/failures/retry", json={"ids": ["3f2a91c04d7e"]})
    assert found.status_code == 403
    assert "bearer token" in found.get_json()["detail"]


def test_a_token_has_a_role_and_needs_no_origin(open_pages: Open) -> None:
    tokens = {
        "ci": f"operator:{hash_token('one')}",
        "screen": f"viewer:{hash_token('two')}",
    }
    client = open_pages(auth="proxy", tokens=tokens).client

    def send(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        found = client.post(f"{API}/queues/pause", json={"name": "x"}, headers=headers)
        return found.status_code

    assert [send(token) for token in ("one", "two", "three")] == [200, 403, 401]


SECRET = "hunter2"


def hide_in_every_job(redis: redis_py.Redis) -> None:
    """Put a secret into every job, by the name of a parameter and of a key."""
    fill(redis, b"critical")
    declared = {"parameters": ["user", "password"]}
    redis.hset(key("resqued:jobs"), "Login", json.dumps(declared))
    job = {"class": "Login", "args": ["anna", SECRET, {"token": [SECRET]}]}
    redis.rpush(key("queue:critical"), json.dumps(job), f"no job {SECRET}")
    entry = {
        "payload": job,
        "queue": "critical",
        "error": "no",
        "own": {"token": SECRET},
    }
    redis.rpush(key("failed"), json.dumps(entry), f"no failure {SECRET}")
    redis.rpush(key("failed"), json.dumps(entry | {"payload": f"odd {SECRET}"}))
    record = {"queue": "critical", "run_at": "2026-01-02T03:04:05Z", "payload": job}
    redis.set(key("worker:web1:1:critical"), json.dumps(record))
    item = json.dumps(job | {"queue": "critical"})
    redis.zadd(key("delayed_queue_schedule"), {"9": 9})
    redis.rpush(key("delayed:9"), item, f"no item {SECRET}")
    aside = {"quarantined_at": 9, "deaths": [], "failure": entry}
    redis.rpush(key("resqued:quarantine"), json.dumps(aside), f"no entry {SECRET}")
    rule = {
        "class_name": "Login",
        "queue": "critical",
        "every": 60.0,
        "args": job["args"],
    }
    redis.hset(key("resqued:schedules"), "login", json.dumps(rule))
    redis.hset(key("resqued:schedules"), "odd", f"no rule {SECRET}")


@pytest.mark.parametrize(
    "settings",
    [{"redact": ("password", "token")}, {"show_args": "admin"}],
    ids=["redacted", "not shown"],
)
def test_no_answer_and_no_page_shows_a_hidden_argument(
    open_pages: Open, redis: redis_py.Redis, settings: dict[str, Any]
) -> None:
    hide_in_every_job(redis)
    tokens = {"ci": f"operator:{hash_token('one')}"}
    pages = open_pages(auth="proxy", tokens=tokens, **settings)
    headers = {"Authorization": "Bearer one"}
    for route in ROUTES:
        if "GET" in route.methods:
            for path in paths_of(route, redis, TEXT):
                for each in (path, f"{path}?name=critical"):
                    found = pages.client.get(each, headers=headers)
                    assert SECRET not in found.text, each


def test_an_administrator_sees_all_that_is_not_redacted(
    pages: Pages, redis: redis_py.Redis
) -> None:
    hide_in_every_job(redis)
    for path in ("/queues/jobs?name=critical", "/failures", "/working", "/delayed"):
        assert SECRET in pages.get(API + path).text, path
    for path in ("/quarantine", "/schedules"):
        assert SECRET in pages.get(API + path).text, path


def test_bytes_that_are_no_text_come_in_base64(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.rpush(key("queue:critical"), b"\xff\x00")
    (found,) = get(pages, "/queues/jobs?name=critical")["jobs"]
    assert base64.b64decode(found["raw64"]) == b"\xff\x00"
