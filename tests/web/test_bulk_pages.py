"""Retrying and removing all that match: the page that asks, and the task."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis as redis_py
from flask import g

import resqued
from resqued.core.text_filter import TextFilter
from resqued.store.failure_filter import FailureFilter
from resqued.web import failure_index
from resqued.web.filtered_page import filtered
from resqued.web.identity import user_of
from tests.support.cli import add_failure
from tests.support.pages import Pages, hidden_fields, text_of
from tests.support.wait import wait_until


def ended(pages: Pages, location: str) -> str:
    """Wait for the end of a task, and return the text of its page."""
    ends = re.compile(r"\b(done|stopped|failed|abandoned)\b")

    def text() -> str | None:
        found = pages.text(location)
        state = found.partition("Done ")[0].rpartition("failures")[2]
        return found if ends.search(state) else None

    return wait_until(text, what="the task to end")


@pytest.fixture
def failures(redis: redis_py.Redis) -> redis_py.Redis:
    """30 failures of two classes."""
    for number in range(20):
        add_failure(redis, number, class_name="Mail", error=f"no answer from {number}")
    for number in range(20, 30):
        add_failure(redis, number, class_name="Sync", queue="sync")
    return redis


def test_the_page_says_what_will_happen(pages: Pages, failures: redis_py.Redis) -> None:
    text = pages.text("/failed/bulk/retry_remove?class=Mail")
    assert "Retry and remove: failures of the class Mail?" in text
    assert "How many 20" in text
    assert "Classes Mail (20)" in text
    assert "Queues mail (20)" in text
    assert "no answer from 19" in text
    assert "What fails from now on is not touched" in text


def test_all_that_match_are_retried_and_removed_and_nothing_later(
    pages: Pages, failures: redis_py.Redis, client: resqued.Client
) -> None:
    form = hidden_fields(pages.get("/failed/bulk/retry_remove?class=Mail").text)
    assert form["expected"] == "20"
    add_failure(failures, 30, class_name="Mail")
    done = pages.post("/failed/bulk/retry_remove", **form, rate="0")
    assert "20 retried and removed of 20" in ended(pages, done.location)
    assert client.size("mail") == 20
    left = [each.args[0] for each in client.failures.oldest_first()]
    assert left == list(range(20, 31))
    audit = [
        json.loads(f[b"action"]) for _, f in failures.xrange("resque:resqued:audit")
    ]
    assert [each["result"] for each in audit] == [
        "started",
        "done: 20 elements retried and removed",
    ]


@pytest.mark.parametrize("kind", ["retry", "remove"])
def test_a_group_is_acted_on(
    pages: Pages, failures: redis_py.Redis, client: resqued.Client, kind: str
) -> None:
    # They are grouped while the pages are read.
    wait_until(lambda: "no answer from #" in pages.text("/failed/groups"), what="them")
    html = pages.get("/failed/groups").text
    link = re.findall(rf'href="(/failed/bulk/{kind}\?group=\w+)"', html)[0]
    form = hidden_fields(pages.get(link).text)
    done = pages.post(f"/failed/bulk/{kind}", **form, rate="")
    ended(pages, done.location)
    assert client.size("mail") == (20 if kind == "retry" else 0)
    assert client.failures.count() == (30 if kind == "retry" else 10)


def test_to_remove_many_the_number_is_typed(
    pages: Pages, redis: redis_py.Redis, client: resqued.Client
) -> None:
    add_failure(redis, 1)
    entry = redis.lindex("resque:failed", 0)
    redis.rpush("resque:failed", *[entry] * 1_500)
    page = pages.get("/failed/bulk/remove")
    assert "Type 1501" in text_of(page.text)
    form = hidden_fields(page.text)
    pages.post("/failed/bulk/remove", 422)
    found = pages.post("/failed/bulk/remove", 422, **form, typed="15")
    assert "Type the number 1501" in found.text
    done = pages.post("/failed/bulk/remove", **form, typed="1,501")
    ended(pages, done.location)
    assert client.failures.count() == 0


def test_groups_by_exception_and_class(pages: Pages, failures: redis_py.Redis) -> None:
    assert "30 ValueError" in pages.text("/failed/groups?by=exception")
    assert "20 Mail" in pages.text("/failed/groups?by=class")


def test_the_index_follows_the_list(
    pages: Pages, failures: redis_py.Redis, client: resqued.Client
) -> None:
    def shows(text: str) -> Callable[[], bool]:
        return lambda: text in pages.text("/failed/groups?by=class")

    assert shows("20 Mail")()
    add_failure(failures, 40, class_name="Mail")
    wait_until(shows("21 Mail"))
    for failure in [*client.failures.oldest_first()][5:25:3]:
        client.failures.remove(failure)
    wait_until(shows("16 Mail"))
    wait_until(shows("8 Sync"))
    for failure in [*client.failures.oldest_first()][:4]:
        client.failures.retry(failure)
    wait_until(lambda: "25 %" in pages.text("/failed/groups?by=class"))
    failures.delete("resque:failed")
    wait_until(shows("No job has failed"))
    add_failure(failures, 1, class_name="Other")
    wait_until(shows("1 Other"))


def test_a_filtered_list_is_read_by_the_index(
    pages: Pages, failures: redis_py.Redis, client: resqued.Client
) -> None:
    which = FailureFilter(class_name="Mail")
    client.failures.remove(next(client.failures.oldest_first()))
    with pages.client.application.test_request_context():
        below, seen = None, []
        while page := filtered(which, below=below, count=7):
            assert page.total == 19
            assert page.rank == len(seen) + 1
            seen += [failure.args[0] for failure in page.failures]
            if (below := page.below) is None:
                break
        assert seen == list(range(19, 0, -1))
        assert filtered(FailureFilter(text=TextFilter("a"))) is None


@pytest.mark.parametrize("template", ["failed_filter.html", "failed_bulk.html"])
def test_the_filter_of_the_url_is_kept(pages: Pages, template: str) -> None:
    app = pages.client.application
    with app.test_request_context("/failed?class=A%22%3E&retried=no&host=h"):
        g.user = user_of("anna", "admin")
        html = app.jinja_env.get_template(template).render()
    assert "A&#34;&gt;" in html or "class=A%22%3E" in html
    assert "host" in html


def test_a_search_shows_what_it_has_found(
    pages: Pages, failures: redis_py.Redis
) -> None:
    done = pages.post("/failed/search", text="ANSWER FROM 1", queue="mail")
    text = wait_until(
        lambda: "11 found" in (text := pages.text(done.location)) and text,
        what="the hits",
    )
    assert "no answer from 13" in text
    assert "no answer from 2" not in text


def test_a_search_reveals_no_hidden_argument(
    open_pages: Any, redis: redis_py.Redis
) -> None:
    entry = {
        "payload": {"class": "Pay", "args": [{"card": "4111"}, "open"]},
        "error": "declined",
    }
    redis.rpush("resque:failed", json.dumps(entry))
    pages = open_pages(redact=("card",))
    for text, count in (("4111", 0), ("open", 1), ("declined", 1)):
        done = pages.post("/failed/search", text=text)
        wait_until(
            lambda where=done.location, n=count: (
                f"done Looked at 1 of 1, {n} found" in pages.text(where)
            )
        )


def test_a_time_that_is_none_is_refused(pages: Pages) -> None:
    assert "is no time" in pages.get("/failed/bulk/retry?from=soon", 400).text


def test_who_may_only_look_cannot_act(open_pages: Any) -> None:
    pages = open_pages(read_only=True)
    pages.get("/failed/bulk/retry", 403)
    pages.post("/failed/bulk/remove", 403)
    pages.post("/failed/search", 403, text="x")


def test_the_index_asks_nothing_while_nobody_looks(
    pages: Pages, failures: redis_py.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_index, "UNSEEN", 0.5)

    def looks() -> int:
        return int(failures.info("commandstats")["cmdstat_hexists"]["calls"])

    pages.get("/failed/groups")
    before = looks()

    def rests() -> bool:
        nonlocal before
        last, before = before, looks()
        time.sleep(2.5)
        return last == before == looks()

    wait_until(rests, what="the index to rest")
    add_failure(failures, 12_345)
    count = failures.llen("resque:failed")
    # The next look finds what has come meanwhile, at once.
    found = pages.get("/failed/bulk/remove").text
    assert hidden_fields(found)["expected"] == str(count)
