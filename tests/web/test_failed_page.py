"""The list of failures, one failure, and what is done to them while the list moves."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from resqued.web.failed_acts_page import MOST
from resqued.web.users import hash_password
from tests.support.cli import add_failure
from tests.support.pages import SAME_ORIGIN, Pages, text_of

FAILED = "resque:failed"
QUEUE = "resque:queue:mail"
Open = Callable[..., Pages]


def form_ids(page: str) -> list[str]:
    """The failures of a page as its form names them, the newest first."""
    return re.findall(r'name="id" value="([0-9a-f]{24}@\d+)"', page)


def link(page: str, label: str) -> str:
    found = re.search(rf'href="([^"]+)">{label}<', page)
    assert found, label
    return html.unescape(found[1])


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, name
    return html.unescape(found[1])


def after(pages: Pages, path: str, **form: Any) -> str:
    """The text at the top of the page that follows a form."""
    answer = pages.post(path, **form)
    shown = pages.get(answer.location).text
    return " ".join(re.findall(r'class="banner \w+">([^<]*)<', shown))


def ranks(first: int, last: int, total: int) -> str:
    return f"{first}\u2013{last} of {total}"


def add_many(redis: redis_py.Redis, count: int) -> None:
    for number in range(1, count + 1):
        add_failure(redis, number)


def test_an_empty_list_says_so(pages: Pages) -> None:
    assert "No failure is in this list" in pages.text("/failed")


def test_pages_name_their_range_and_lead_to_each_other(
    pages: Pages, redis: redis_py.Redis
) -> None:
    add_many(redis, 120)
    first = pages.get("/failed").text
    assert ranks(1, 50, 120) in text_of(first)
    assert "Boom 0 120" in text_of(first)
    second = pages.get(link(first, "Older")).text
    assert ranks(51, 100, 120) in text_of(second)
    assert ranks(1, 50, 120) in pages.text(link(second, "Newer"))
    assert ranks(101, 120, 120) in pages.text(link(second, "Older"))
    assert ranks(71, 120, 120) in pages.text(link(first, "Last"))


def test_a_list_that_moved_is_noticed(pages: Pages, redis: redis_py.Redis) -> None:
    add_many(redis, 120)
    older = link(pages.get("/failed").text, "Older")
    redis.lpop(FAILED, 5)
    assert ranks(51, 100, 115) in pages.text(older)
    assert "The list has changed" not in pages.text(older)
    redis.lset(FAILED, 120 - 50 - 5, "another")
    assert "The list has changed" in pages.text(older)


def test_new_failures_are_counted_and_do_not_slide_in(
    pages: Pages, redis: redis_py.Redis
) -> None:
    add_many(redis, 3)
    page = pages.get("/failed").text
    seen = re.search(r'data-seen="(\d+)"', page)
    assert seen
    path = f"/failed?part=news&seen={seen[1]}"
    assert "new" not in pages.get(path).text
    assert "3 new" in pages.get("/failed?part=news&seen=0").text
    assert "fewer" in pages.get("/failed?part=news&seen=9").text


def test_the_jump_to_a_time(pages: Pages, redis: redis_py.Redis) -> None:
    add_many(redis, 60)
    # Failure 10 failed at 1,700,000,010.
    text = pages.text("/failed?time=2023-11-14T22:13:30")
    assert ranks(51, 60, 60) in text
    text = pages.text("/failed?time=2023-11-14T22:13:30&class=Boom")
    assert "Boom 0 10 mail" in text
    assert "Boom 0 11 mail" not in text
    pages.get("/failed?time=yesterday", 400)


@pytest.mark.parametrize(
    "query",
    ["before=x", "before=1.zz", "before=9999999999999.0123456789ab", "after=-1", "at="],
)
def test_what_is_no_place_is_the_first_page(
    pages: Pages, redis: redis_py.Redis, query: str
) -> None:
    add_many(redis, 2)
    assert ranks(1, 2, 2) in pages.text(f"/failed?{query}")


def test_urls_of_resque(pages: Pages, redis: redis_py.Redis) -> None:
    add_failure(redis, 1)
    add_failure(redis, 2, class_name="Other", queue="slow")
    redis.sadd("resque:queues", "slow", "mail")
    text = pages.text("/failed?class=Other")
    assert "Other" in text
    assert "Boom" not in text
    assert "Other" in pages.text("/failed/slow")
    assert "No failure matches" in pages.text("/failed/mail?class=Other")
    pages.get("/failed/none", 404)
    for path in ("/failed/requeue/0", "/failed/remove/0"):
        assert "a link must not" in text_of(pages.get(path, 405).text)
    assert redis.llen(FAILED) == 2


def test_lists_of_queues_are_in_a_menu(pages: Pages, redis: redis_py.Redis) -> None:
    add_failure(redis, 1)
    redis.rpush("resque:mail_failed", *redis.lrange(FAILED, 0, -1), b"{}")
    redis.sadd("resque:failed_queues", "mail_failed")
    text = pages.text("/failed")
    assert "failed 1 mail_failed 2" in text
    assert ranks(1, 2, 2) in pages.text("/failed?list=mail_failed")
    assert ranks(1, 2, 2) in pages.text("/failed/mail")
    ids = form_ids(pages.get("/failed/mail").text)
    assert "removed 1 failure" in after(
        pages, "/failed/remove", id=ids[0], list="mail_failed"
    )
    assert redis.llen("resque:mail_failed") == 1


@pytest.mark.parametrize("queue", [b"\xff", b"a\nb", b"<b>", b"q" * 900, b"a b&c=1"])
def test_every_list_has_its_page_and_its_forms(
    pages: Pages, redis: redis_py.Redis, queue: bytes
) -> None:
    add_failure(redis, 1)
    redis.rpush(b"resque:" + queue + b"_failed", b"{}")
    redis.sadd("resque:failed_queues", queue + b"_failed")
    menu = re.findall(r'href="(/failed\?list=[^"]*)"', pages.get("/failed").text)
    page = pages.get(html.unescape(menu[1])).text
    assert "<b>" not in page
    pages.get(html.unescape(re.findall(r'href="(/failed/[0-9a-f]{12}[^"]*)"', page)[0]))
    form = {"list": field(page, "list"), "id": form_ids(page)}
    assert "removed 1 failure" in after(pages, "/failed/remove", **form)
    assert redis.llen(FAILED) == 1


def test_a_bulk_operation_is_told(pages: Pages, redis: redis_py.Redis) -> None:
    add_many(redis, 3)
    ids = form_ids(pages.get("/failed").text)
    redis.lpop(FAILED, 3)
    redis.hset("resque:resqued:bulk", "failed", "t head ")
    assert "A bulk operation works" in pages.text("/failed")
    message = after(pages, "/failed/remove", id=ids)
    assert "3 failures not found while a bulk operation" in message


def test_the_usual_list_is_one_with_failures(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.rpush("resque:mail_failed", b"{}")
    redis.sadd("resque:failed_queues", "mail_failed")
    assert ranks(1, 1, 1) in pages.text("/failed")


def test_looking_changes_nothing(pages: Pages, redis: redis_py.Redis) -> None:
    add_many(redis, 3)
    (one, *_) = form_ids(pages.get("/failed").text)
    before = {key: redis.dump(key) for key in redis.scan_iter()}
    for path in (
        *("", "?page=oldest", "?class=Boom", "?time=2030-01-01", "/clear"),
        *("/clear_retried", "/requeue/all", f"/{one[:12]}", f"/{one[:12]}/raw"),
    ):
        pages.get(f"/failed{path}")
    for path in ("/requeue/0", "/remove/0"):
        pages.get(f"/failed{path}", 405)
    for path in ("/retry", "/retry_remove"):
        pages.get(f"/failed{path}", 404)
    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


# One and those that are ticked


def test_retry_and_remove(pages: Pages, redis: redis_py.Redis) -> None:
    add_many(redis, 3)
    ids = form_ids(pages.get("/failed").text)
    assert "retried and removed 2 failures" in after(
        pages, "/failed/retry_remove", id=[ids[0], ids[2]]
    )
    assert redis.lrange(QUEUE, 0, -1) == [
        b'{"class":"Boom","args":[3]}',
        b'{"class":"Boom","args":[1]}',
    ]
    assert redis.llen(FAILED) == 1


def test_retry_marks_and_goes_to_another_queue(
    pages: Pages, redis: redis_py.Redis
) -> None:
    add_many(redis, 1)
    ids = form_ids(pages.get("/failed").text)
    assert "retried 1 failure to the queue slow" in after(
        pages, "/failed/retry", id=ids, queue="slow"
    )
    assert redis.llen("resque:queue:slow") == 1
    assert "retried_at" in str(redis.lindex(FAILED, 0))
    assert "retried" in pages.text("/failed")


@pytest.mark.parametrize("path", ["retry", "retry_remove", "remove"])
def test_a_second_click_says_that_it_was_done(
    pages: Pages, redis: redis_py.Redis, path: str
) -> None:
    add_many(redis, 2)
    ids = form_ids(pages.get("/failed").text)[:1]
    after(pages, f"/failed/{path}", id=ids)
    message = after(pages, f"/failed/{path}", id=ids)
    done = {"retry": "retried", "retry_remove": "retried and removed"}.get(
        path, "removed"
    )
    assert re.search(rf"was already {done} by somebody \d+s ago", message), message
    assert redis.llen(QUEUE) == (0 if path == "remove" else 1)


@pytest.mark.parametrize("path", ["retry", "retry_remove"])
def test_clicks_at_the_same_time_enqueue_the_job_once(
    pages: Pages, redis: redis_py.Redis, path: str
) -> None:
    add_many(redis, 2)
    ids = form_ids(pages.get("/failed").text)[:1]

    def click(_: int) -> int:
        client = pages.client.application.test_client()
        return Pages(client).post(f"/failed/{path}", id=ids).status_code

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(click, range(8))) == [303] * 8
    assert redis.llen(QUEUE) == 1


def test_the_failure_that_was_clicked_is_hit_in_a_list_that_moves(
    pages: Pages, redis: redis_py.Redis
) -> None:
    add_many(redis, 10)
    ids = form_ids(pages.get("/failed").text)
    redis.lpop(FAILED, 4)
    add_failure(redis, 99)
    after(pages, "/failed/retry_remove", id=ids[2])
    assert redis.lrange(QUEUE, 0, -1) == [b'{"class":"Boom","args":[8]}']


def test_ticked_failures_are_all_hit_though_each_removal_moves_the_list(
    pages: Pages, redis: redis_py.Redis
) -> None:
    add_many(redis, 50)
    ids = form_ids(pages.get("/failed").text)
    assert "removed 50" in after(pages, "/failed/remove", id=ids[::-1])
    assert not redis.exists(FAILED)


def test_forms_that_name_nothing(pages: Pages, redis: redis_py.Redis) -> None:
    add_many(redis, 1)
    assert "no failure is ticked" in after(pages, "/failed/retry")
    pages.post("/failed/retry", 400, id="0")
    pages.post("/failed/retry", 400, id=[f"{n:024x}@{n}" for n in range(MOST + 1)])
    pages.post("/failed/retry", 400, id="0" * 24 + "@0", queue="q" * 501)
    assert redis.llen(FAILED) == 1


def test_the_page_that_was_filtered_comes_back(
    pages: Pages, redis: redis_py.Redis
) -> None:
    add_many(redis, 1)
    page = pages.get("/failed?class=Boom").text
    answer = pages.post("/failed/remove", id=form_ids(page), back=field(page, "back"))
    assert answer.location == "/failed?class=Boom"


def test_what_cannot_be_retried_is_left_out(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.rpush(FAILED, b"no json", b"{}", b'{"payload":{"class":"A"},"queue":"mail"}')
    ids = form_ids(pages.get("/failed").text)
    message = after(pages, "/failed/retry", id=ids)
    assert "retried 1 failure; left out: 2" in message
    redis.set("resque:queue:odd", "x")
    redis.rpush(FAILED, b'{"payload":{"class":"A"},"queue":"odd"}')
    ids = form_ids(pages.get("/failed").text)
    assert "may have been changed" in after(pages, "/failed/retry", id=ids[0])


# A whole list


def test_clear_removes_what_was_seen(pages: Pages, redis: redis_py.Redis) -> None:
    add_many(redis, 5)
    page = pages.get("/failed/clear").text
    assert "All 5 failures are removed" in text_of(page)
    add_failure(redis, 6)
    assert "removed 5 failures" in after(
        pages, "/failed/clear", seen=field(page, "seen")
    )
    assert redis.llen(FAILED) == 1
    assert "has changed" in text_of(
        pages.post("/failed/clear", 409, seen=field(page, "seen")).text
    )
    assert redis.llen(FAILED) == 1


@pytest.mark.parametrize("path", ["clear", "clear_retried", "requeue/all"])
def test_without_what_was_seen_a_page_asks(
    pages: Pages, redis: redis_py.Redis, path: str
) -> None:
    add_many(redis, 2)
    before = redis.lrange(FAILED, 0, -1)
    assert "nothing was done" in text_of(pages.post(f"/failed/{path}", 409).text)
    pages.get(f"/failed/{path}")
    assert redis.lrange(FAILED, 0, -1) == before


def test_many_failures_are_cleared_only_with_their_number(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.rpush(FAILED, *(b'{"error":"%d"}' % n for n in range(1_001)))
    seen = field(pages.get("/failed/clear").text, "seen")
    pages.post("/failed/clear", 409, seen=seen)
    pages.post("/failed/clear", 409, seen=seen, number="5")
    assert redis.llen(FAILED) == 1_001
    assert "removed 1001" in after(pages, "/failed/clear", seen=seen, number="1,001")


def test_retry_all_and_clear_retried_keep_to_what_was_seen(
    pages: Pages, redis: redis_py.Redis
) -> None:
    add_many(redis, 3)
    seen = field(pages.get("/failed/requeue/all").text, "seen")
    add_failure(redis, 4)
    assert "retried 3" in after(pages, "/failed/requeue/all", seen=seen)
    assert redis.llen(QUEUE) == 3
    seen = field(pages.get("/failed/clear_retried").text, "seen")
    assert "removed 3" in after(pages, "/failed/clear_retried", seen=seen)
    assert redis.llen(FAILED) == 1


def test_a_whole_list_of_many_is_no_work_for_a_page(
    pages: Pages, redis: redis_py.Redis
) -> None:
    add_many(redis, 201)
    seen = field(pages.get("/failed/requeue/all").text, "seen")
    answer = pages.client.post(
        "/failed/requeue/all", data={"seen": seen}, headers=SAME_ORIGIN
    )
    assert answer.status_code in (303, 503)


# Roles


@pytest.fixture
def as_role(open_pages: Open, tmp_path: Path) -> Callable[[str], Pages]:
    """Return pages as a user with a role has them, who has logged in."""

    def make(role: str) -> Pages:
        users = tmp_path / "users"
        users.write_text(f"anna:{role}:{hash_password('secret')}\n")
        users.chmod(0o600)
        pages = open_pages(auth="password", users=str(users))
        pages.post("/login", name="anna", password="secret")
        return pages

    return make


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        *(
            ("viewer", path, 403)
            for path in ("retry", "remove", "clear", "requeue/all")
        ),
        ("viewer", "clear_retried", 403),
        ("viewer", "retry_remove", 403),
        *(("operator", path, 303) for path in ("retry", "retry_remove", "remove")),
        ("operator", "clear", 403),
        ("operator", "requeue/all", 409),
        ("admin", "clear", 409),
    ],
)
def test_roles(
    as_role: Callable[[str], Pages],
    redis: redis_py.Redis,
    role: str,
    path: str,
    status: int,
) -> None:
    add_many(redis, 1)
    as_role(role).post(f"/failed/{path}", status)


def test_a_viewer_has_no_buttons_and_no_arguments(
    as_role: Callable[[str], Pages], redis: redis_py.Redis
) -> None:
    failure_id = add_failure(redis, 4711)
    pages = as_role("viewer")
    for path in ("/failed", f"/failed/{failure_id}"):
        text = pages.get(path).text
        assert "formaction" not in text
        assert "4711" not in text
    pages.get(f"/failed/{failure_id}/raw", 403)


def test_read_only_pages_change_nothing(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    add_many(redis, 1)
    pages = open_pages(read_only=True)
    ids = form_ids(open_pages().get("/failed").text)
    pages.post("/failed/remove", 403, id=ids)
    assert not redis.exists("resque:resqued:audit")


# Audit


def test_actions_are_listed_and_filtered(
    as_role: Callable[[str], Pages], redis: redis_py.Redis
) -> None:
    add_many(redis, 3)
    pages = as_role("operator")
    ids = form_ids(pages.get("/failed").text)
    after(pages, "/failed/retry", id=ids[0])
    after(pages, "/failed/remove", id=ids[1:])
    text = pages.text("/audit")
    assert text.index("remove") < text.index("retry")
    assert "anna operator" in text
    assert "retry" not in pages.text("/audit?action=remove").replace("retry_", "")
    assert "No action matches" in pages.text("/audit?user=bert")
    assert ids[0][:12] in pages.text(f"/audit?target={ids[0][:12]}")
    assert "was already retried by anna" in after(pages, "/failed/retry", id=ids[0])


def test_the_audit_has_one_name_for_an_action_of_pages_programs_and_tasks(
    open_pages: Open, redis: redis_py.Redis
) -> None:
    add_many(redis, 3)
    redis.sadd("resque:queues", "one", "two")
    pages = open_pages()
    ids = form_ids(pages.get("/failed").text)
    pages.post("/failed/retry_remove", id=ids[0])
    pages.post("/failed/bulk/retry_remove")
    api = {"headers": SAME_ORIGIN, "json": {"name": "one"}}
    assert pages.client.post("/api/v1/queues/remove", **api).status_code == 200
    pages.post("/queues/two/remove")
    # What a version before has written.
    old = json.dumps({"action": "remove_queue", "target": "zero"})
    redis.xadd("resque:resqued:audit", {"action": old})
    for name in ("remove queue", "remove_queue"):
        text = pages.text(f"/audit?action={name}")
        assert [word in text for word in ("zero", "one", "two")] == [True] * 3
    text = pages.text("/audit?action=retry and remove")
    assert "task " in text
    assert ids[0][:12] in text


def test_the_audit_has_pages_and_shows_odd_records(
    pages: Pages, redis: redis_py.Redis
) -> None:
    assert "Nobody has done anything" in pages.text("/audit")
    for number in range(150):
        record = json.dumps({"action": "retry", "target": f"number {number}."})
        redis.xadd("resque:resqued:audit", {"action": record})
    for odd in ("no json", "[]", '{"ids": 3, "count": "x"}', '"<b>"'):
        redis.xadd("resque:resqued:audit", {"action": odd})
    page = pages.get("/audit").text
    assert "number 149." in text_of(page)
    assert "number 20." not in text_of(page)
    assert "number 20." in pages.text(link(page, "Older"))
    pages.get("/audit?before=1-0")
    pages.get("/audit?before=x")
