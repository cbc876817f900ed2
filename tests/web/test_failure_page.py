"""The page of one failure, of odd and hostile entries, and of one that is gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import html5lib
import pytest
import redis as redis_py

import resqued
from resqued.wire import payload
from tests.support.cli import add_failure
from tests.support.pages import Pages, text_of

FAILED = "resque:failed"
Open = Callable[..., Pages]

HOSTILE = (
    '<img src=x onerror="alert(1)">',
    '"><svg onload=alert(1)>',
    "javascript:alert(1)",
    "\u202e\u0000\u0007\ud800",
    "../../etc/passwd",
    "a\nb",
    "' -- {{ 7*7 }} {id}",
)
BACKTRACE = [
    "Traceback (most recent call last):",
    '  File "/app/jobs.py", line 3, in perform',
    "    post(url)",
    '  File "/venv/lib/python3.11/site-packages/requests/api.py", line 9, in post',
    '    return request("post")',
    "requests.ConnectionError: no route",
]


def add(redis: redis_py.Redis, **fields: Any) -> str:
    """Append an entry with these fields, and return its id."""
    entry = {
        "failed_at": "2026/11/27 22:58:27 UTC",
        "payload": {"class": "Mail", "args": [1, "x"]},
        "exception": "ValueError",
        "error": "bad",
        "backtrace": [],
        "worker": "web1:1:mail",
        "queue": "mail",
    } | fields
    return add_raw(redis, json.dumps(entry).encode("utf-8", "surrogatepass"))


def add_raw(redis: redis_py.Redis, entry: bytes) -> str:
    redis.rpush(FAILED, entry)
    return resqued.Failure(entry).id


def elements(html: str) -> set[str]:
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    return {each.tag for each in tree.iter() if isinstance(each.tag, str)}


def attributes(html: str) -> set[str]:
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    return {name for each in tree.iter() for name in each.attrib}


def test_a_failure_has_all_that_is_known(pages: Pages, redis: redis_py.Redis) -> None:
    failure_id = add(redis, backtrace=BACKTRACE, shard="eu 1", attempt=2)
    text = pages.text(f"/failed/{failure_id}")
    for part in (
        *("ValueError", "bad", "Mail", "0 1", "1 x", "2026-11-27 22:58:27 UTC"),
        *("web1:1:mail", "eu 1", "Attempt 2", "/app/jobs.py", "1 in libraries"),
        f"resqued failed show {failure_id}",
        "journalctl RESQUED_CLASS=Mail",
        "resqued enqueue --queue=mail -- Mail 1 '\"x\"'",
    ):
        assert part in text, part


def test_frames_of_libraries_are_folded(pages: Pages, redis: redis_py.Redis) -> None:
    html = pages.get(f"/failed/{add(redis, backtrace=BACKTRACE)}").text
    folded = html.split("<details>")[1].split("</details>")[0]
    assert "site-packages" in folded
    assert "/app/jobs.py" not in folded
    alone = pages.get(f"/failed/{add(redis, backtrace=BACKTRACE[3:5])}").text
    assert "<details open>" in alone


@pytest.mark.parametrize(
    ("exception", "part"),
    [
        (payload.JOB_TIMEOUT, "longer than its limit"),
        (payload.MEMORY_LIMIT, "more memory than its limit"),
        (payload.DIRTY_EXIT, "ended before the job did"),
        (payload.PRUNE_DIRTY_EXIT, "no heartbeat"),
    ],
)
def test_why_a_job_was_ended_is_said_in_words(
    pages: Pages, redis: redis_py.Redis, exception: str, part: str
) -> None:
    assert part in pages.text(f"/failed/{add(redis, exception=exception)}")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_makes_no_element(
    open_pages: Open, redis: redis_py.Redis, text: str
) -> None:
    pages = open_pages(links={text: "https://example.org/{class}/{queue}"})
    usual = add(redis, backtrace=BACKTRACE, shard="a", retried_at="x")
    known = elements(pages.get(f"/failed/{usual}").text)
    named = attributes(pages.get(f"/failed/{usual}").text)
    hostile = add(
        redis,
        failed_at=text,
        retried_at=text,
        payload={"class": text, "args": [text, {text: text}]},
        exception=text,
        error=text,
        backtrace=[text, *BACKTRACE],
        worker=text,
        queue=text,
        **{text: text},
    )
    redis.rpush("resque:resqued:audit", "x")
    for path in (f"/failed/{hostile}", f"/failed/{hostile}?at=1"):
        html = pages.get(path).text
        assert elements(html) <= known | {"p", "wbr"}
        assert attributes(html) <= named
        assert not [c for c in html if ord(c) < 32 and c != "\n"]
    for path in ("/failed", "/failed/clear"):
        assert not elements(pages.get(path).text) & {"img", "svg"}
    pages.get(f"/failed/{hostile}/raw")


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": None},
        {"payload": [], "exception": 3, "error": None, "backtrace": "x"},
        {"payload": {"class": 3, "args": "x"}, "queue": ["a"], "worker": {}},
        {"payload": {"class": "A", "args": {"a": 1}}, "attempt": "x"},
        {"failed_at": 12, "retried_at": []},
        {"backtrace": [None, 3, ["x"]], "attempt": 10**30},
        {"failed_at": "2026/11/27 22:58:27 XYZ"},
        {"failed_at": "Fri Nov 27 2026 22:58:27 GMT+0100 (CET)"},
    ],
)
def test_an_odd_entry_has_a_page(
    pages: Pages, redis: redis_py.Redis, fields: dict[str, Any]
) -> None:
    failure_id = add(redis, **fields)
    pages.text("/failed")
    pages.text(f"/failed/{failure_id}")


@pytest.mark.parametrize(
    "entry",
    [b"", b"no json", b"[1]", b"null", b"\xff\xfe\x00", b'{"a":', b"x" * 300_000],
)
def test_what_is_no_failure_is_shown_raw(
    pages: Pages, redis: redis_py.Redis, entry: bytes
) -> None:
    failure_id = add_raw(redis, entry)
    assert "not a failure" in pages.text("/failed")
    html = pages.get(f"/failed/{failure_id}?at=0")
    assert "not a failure" in html.text
    assert len(html.text) < 150_000
    found = pages.get(f"/failed/{failure_id}/raw?at=0")
    assert found.data == entry
    assert found.mimetype == "text/plain"
    assert found.headers["Content-Disposition"].startswith("attachment")
    pages.post("/failed/remove", id=f"{resqued.Failure(entry).digest[:24]}@0")
    assert not redis.exists(FAILED)


def test_an_entry_of_ten_megabytes_makes_a_small_page(
    pages: Pages, redis: redis_py.Redis
) -> None:
    failure_id = add(redis, error="e" * (10 << 20), backtrace=["b" * 5_000] * 2_000)
    assert len(pages.get("/failed").text) < 150_000
    text = pages.get(f"/failed/{failure_id}?at=0").text
    assert "1500 lines left out" in text
    assert len(text) < 1_200_000


# Entries as Ruby writes them: of a job that raised, that was killed, whose class is
# not there, and of a list of one queue, whose times have no zone.
RUBY = [
    (
        b'{"failed_at":"2026/11/23 12:00:00 UTC","payload":{"args":[1],"id":"a",'
        b'"class":"Boom"},"exception":"ArgumentError","error":"bad thing","backtrace":'
        b'["/app/jobs.rb:7:in `perform\'"],"worker":"h:1:default","queue":"default"}'
    ),
    (
        b'{"failed_at":"2026/11/23 12:00:00 CET","payload":{"class":"Die9","args":[]},'
        b'"exception":"Resque::DirtyExit","error":"Child process received unhandled'
        b' signal pid 7 SIGKILL (signal 9)","backtrace":[],"worker":"h:1:default",'
        b'"queue":"default"}'
    ),
    (
        b'{"failed_at":"2026/11/23 12:00:00 UTC","payload":{"class":"Nope","args":[1]},'
        b'"exception":"NameError","error":"uninitialized constant Nope\\n\\n    ^^^",'
        b'"backtrace":null,"worker":"h:1:default","queue":"default"}'
    ),
    (
        b'{"failed_at":"2026/11/23 12:00:00","payload":{"class":"Boom","args":[1]},'
        b'"exception":"ArgumentError","error":"x","backtrace":[],"worker":"h:1:default",'
        b'"queue":"default","retried_at":"2026/11/23 12:01:00"}'
    ),
]


@pytest.mark.parametrize("entry", RUBY)
def test_what_ruby_wrote_is_shown_and_retried(
    pages: Pages, redis: redis_py.Redis, entry: bytes
) -> None:
    failure = resqued.Failure(entry)
    failure_id = add_raw(redis, entry)
    text = pages.text(f"/failed/{failure_id}")
    assert failure.class_name in text
    assert failure.exception in text
    assert "2026" in text
    pages.post("/failed/retry_remove", id=f"{failure.digest[:24]}@0")
    job = json.dumps({"class": failure.class_name, "args": list(failure.args)})
    assert redis.lrange("resque:queue:default", 0, -1) == [
        job.replace(" ", "").encode()
    ]
    assert not redis.exists(FAILED)


def test_links_have_quoted_values_and_lead_to_web_pages_only(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    pages = open_pages(
        links={
            "Sentry": "https://sentry.example.org/?q={class}&id={id}",
            "Script": "javascript:alert('{class}')",
            "Own": "{class}",
        }
    )
    failure_id = add(redis, payload={"class": "A&b=/#\u00e9", "args": []})
    html = pages.get(f"/failed/{failure_id}").text
    assert f"?q=A%26b%3D%2F%23%C3%A9&amp;id={failure_id}" in html
    assert "javascript:" not in html
    assert ">Own<" not in html


def test_what_is_redacted_stands_nowhere(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    pages = open_pages(redact=("password",))
    job = {"class": "Mail", "args": [{"to": "x", "password": "hunter2"}]}
    failure_id = add(redis, payload=job, password="hunter2")
    other = add_raw(redis, b"no json, hunter2")
    for path in ("/failed", f"/failed/{failure_id}", f"/failed/{failure_id}/raw"):
        assert "hunter2" not in pages.get(path).text
    assert "hunter2" not in pages.get(f"/failed/{other}").text
    pages.get(f"/failed/{other}/raw", 403)


def test_a_failure_that_is_gone(pages: Pages, redis: redis_py.Redis) -> None:
    failure_id = add_failure(redis, 1)
    add_failure(redis, 2)
    digest = resqued.Failure(redis.lindex(FAILED, 0) or b"").digest[:24]  # type: ignore[arg-type]
    pages.post("/failed/retry_remove", id=f"{digest}@0")
    found = pages.get(f"/failed/{failure_id}?at=0", 404).text
    assert "retried and removed by somebody" in found
    assert "Go to the next failure" in found
    pages.get("/failed/0123456789ab", 404)
    pages.get("/failed/0123456789ab/raw", 404)


def test_a_failure_that_was_retried_is_found_by_its_old_id(
    pages: Pages, redis: redis_py.Redis
) -> None:
    failure_id = add_failure(redis, 1)
    digest = resqued.Failure(redis.lindex(FAILED, 0) or b"").digest[:24]  # type: ignore[arg-type]
    pages.post("/failed/retry", id=f"{digest}@0")
    for path in (f"/failed/{failure_id}?at=0", f"/failed/{failure_id}"):
        assert f"Failure {failure_id} was retried by somebody" in pages.text(path)


def test_neighbours_are_linked(pages: Pages, redis: redis_py.Redis) -> None:
    first, second = add_failure(redis, 1), add_failure(redis, 2)
    assert f"/failed/{second}?at=1" in pages.get(f"/failed/{first}?at=0").text
    assert f"/failed/{first}?at=0" in pages.get(f"/failed/{second}").text


def test_failures_of_the_same_cause_and_job_are_counted(
    pages: Pages, redis: redis_py.Redis
) -> None:
    for _ in range(2):
        add(redis, error="no answer from 1", payload={"class": "Mail", "args": [7]})
    failure_id = add(redis, error="no answer from 2")
    text = pages.text(f"/failed/{failure_id}")
    assert "3 failures have the same cause" in text
    assert "has failed 2 times" not in text
    other = add(redis, error="no answer from 3", payload={"class": "Mail", "args": [7]})
    assert "has failed 3 times among the 4 newest" in pages.text(f"/failed/{other}")
    alone = add(redis, exception="KeyError", payload={"class": "Sync", "args": []})
    text = pages.text(f"/failed/{alone}")
    assert "same cause" in text
    assert "times among" not in text


def test_the_page_of_a_worker_has_its_last_failures(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:workers", "web1:1:mail", "web1:2:mail")
    for number in range(7):
        add(redis, worker="web1:1:mail", error=f"no answer from {number}")
    text = pages.text("/workers/web1:1:mail")
    assert "no answer from 6" in text
    assert "no answer from 1" not in text
    assert "None of the newest failures" in pages.text("/workers/web1:2:mail")


def test_a_failure_that_went_with_many_says_with_which(
    pages: Pages, redis: redis_py.Redis
) -> None:
    failure_id = add(redis)
    redis.delete(FAILED)
    record = {"action": "clear", "target": "failed", "user": "anna", "count": 1200}
    redis.xadd("resque:resqued:audit", {"action": json.dumps(record)})
    text = text_of(pages.get(f"/failed/{failure_id}", 404).text)
    assert "perhaps with the 1200 failures of “clear” by anna" in text
