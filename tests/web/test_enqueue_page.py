"""The form that enqueues a job, and the page about these pages."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
import redis as redis_py

import resqued
from resqued.web.formats import digest_of
from tests.support.cli import add_failure
from tests.support.pages import Open, Pages, text_of


def test_a_job_is_enqueued_as_it_was_written(
    pages: Pages, redis: redis_py.Redis
) -> None:
    args = '[44, "master\\u0062rew", {"k": [true, null, 1.5]}]'
    fields = {"queue": "critical", "class": "Archive", "args": args}
    assert pages.post("/enqueue", **fields).location == "/queues/critical"
    assert redis.lrange("resque:queue:critical", 0, -1) == [
        b'{"class":"Archive","args":[44,"masterbrew",{"k":[true,null,1.5]}]}'
    ]
    assert redis.xlen("resque:resqued:audit") == 1


@pytest.mark.parametrize(
    ("job", "args", "problem"),
    [
        (("q", "A"), "[1", "not JSON"),
        (("q", "A"), '{"a": 1}', "no list"),
        (("q", "A"), "[NaN]", "A: argument 1"),
        (("q", ""), "[]", "name the class"),
        (("", "A"), "[]", "queue"),
        (("a,b", "A"), "[]", "a,b"),
        (("q", "A"), "[" * 100_000, "not JSON"),
    ],
)
def test_what_cannot_be_a_job_stays_in_the_form(
    pages: Pages, redis: redis_py.Redis, job: tuple[str, str], args: str, problem: str
) -> None:
    fields = {"queue": job[0], "class": job[1], "args": args}
    text = text_of(pages.post("/enqueue", 422, **fields).text)
    assert "Not enqueued" in text
    assert problem in text
    assert args[:10] in text
    assert not redis.keys("resque:queue:*")


def test_a_payload_that_workers_refuse_is_refused(open_pages: Open) -> None:
    pages = open_pages(max_payload=100)
    fields = {"queue": "q", "class": "A", "args": json.dumps(["x" * 200])}
    assert "max_payload" in pages.post("/enqueue", 422, **fields).text


def test_the_form_has_the_values_of_a_failure(
    pages: Pages, redis: redis_py.Redis, client: resqued.Client
) -> None:
    add_failure(redis, 1)
    (failure,) = client.failures.page()
    html = pages.get(f"/enqueue?failure={failure.id}").text
    assert failure.class_name in html
    assert f'value="{failure.queue}"' in html
    assert "not among" in pages.get("/enqueue?failure=none", 404).text


def test_the_form_has_the_values_of_a_job_that_waits(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    for n in range(5):
        client.enqueue_to("a/b", "Archive", {"n": n}, "\u202eodd")
    raw = redis.lindex("resque:queue:a/b", 3)
    redis.lpop("resque:queue:a/b")
    path = f"/enqueue/like/a/b?place=3&job={digest_of(raw)}"
    text = pages.text(path)
    assert '"n": 3' in text
    assert "\\u202eodd" in text
    redis.delete("resque:queue:a/b")
    assert "any more" in pages.get(path, 404).text


def test_hidden_arguments_are_not_filled_in(
    open_pages: Open, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("q", "Login", {"password": "hunter2"})
    raw = redis.lindex("resque:queue:q", 0)
    path = f"/enqueue/like/q?job={digest_of(raw)}"
    shown = open_pages(redact=("password",)).get(path).text
    assert "hunter2" not in shown
    assert "none is filled in" in shown
    operator = open_pages(
        auth="proxy",
        trusted_proxies=("127.0.0.1",),
        roles={"operator": ("*",)},
        show_args="admin",
    )
    shown = operator.get(path, headers={"X-Remote-User": "anna"}).text
    assert "hunter2" not in shown


def test_about_says_what_the_user_may_and_what_is_off(open_pages: Open) -> None:
    text = open_pages().text("/about")
    assert "may kill jobs" in text
    assert "everybody who can connect is admin" in text
    assert "redis" in text
    text = open_pages(read_only=True).text("/about")
    assert "may not kill jobs" in text
    assert "read_only is true" in text


def test_a_failure_and_a_group_lead_to_the_form(
    pages: Pages, redis: redis_py.Redis, client: resqued.Client
) -> None:
    for number in (1, 2):
        add_failure(redis, number)
    newest, older = client.failures.page()
    html = pages.get(f"/failed/{older.id}").text
    (path,) = re.findall(r'href="(/enqueue[?]failure=[^"]*)">Edit and enqueue', html)
    args = json.dumps(list(older.args), indent=2)
    text = unescape(pages.get(unescape(path)).text)
    assert args in text
    assert f'value="{older.queue}"' in text
    for by in ("group", "class", "exception"):
        html = pages.get(f"/failed/groups?by={by}").text
        paths = re.findall(r'href="(/enqueue[?]newest=1[^"]*)">Edit and enqueue', html)
        shown = [unescape(pages.get(unescape(path)).text) for path in paths]
        args = json.dumps(list(newest.args), indent=2)
        assert any(args in each for each in shown)
    redis.delete("resque:failed")
    pages.get(unescape(path), 404)


def test_a_viewer_gets_no_link_to_the_form(
    open_pages: Open, redis: redis_py.Redis, client: resqued.Client
) -> None:
    add_failure(redis, 1)
    (failure,) = client.failures.page()
    pages = open_pages(read_only=True)
    for path in (f"/failed/{failure.id}", "/failed/groups"):
        assert "Edit and enqueue" not in pages.get(path).text
    pages.get(f"/enqueue?failure={failure.id}", 403)
