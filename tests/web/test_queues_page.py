"""The pages of queues: the list, one queue, and what can be done there."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
import redis as redis_py

import resqued
from tests.support.pages import Pages
from tests.web.conftest import Open


def rows_of(pages: Pages, path: str) -> list[str]:
    """The texts of the links with class name, in the order of the page."""
    main = pages.get(path).text.partition("<main")[2]
    found = re.findall(r'<a class="name" href="[^"]*">([^<]*)</a>', main)
    return [str(name) for name in found]


def marks_of(pages: Pages, path: str) -> list[str]:
    found = re.findall(r'name="job" value="([^"]*)"', pages.get(path).text)
    return [str(mark) for mark in found]


def boxes_of(pages: Pages, path: str) -> list[str]:
    found = re.findall(r'name="id" value="([^"]*)"', pages.get(path).text)
    return [str(box) for box in found]


def jobs(redis: redis_py.Redis, queue: str) -> list[int]:
    raw: list[bytes] = redis.lrange(f"resque:queue:{queue}", 0, -1)
    return [json.loads(each)["args"][0] for each in raw]


def register(redis: redis_py.Redis, worker_id: str, *, is_live: bool = True) -> None:
    redis.sadd("resque:workers", worker_id)
    if is_live:
        now = redis.time()[0]
        redis.hset("resque:workers:heartbeat", worker_id, _iso(now))


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_an_empty_namespace_says_how_to_begin(pages: Pages) -> None:
    assert "resqued enqueue" in pages.text("/overview")


def test_queues_are_listed_with_their_lengths(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("critical", "Archive", 1)
    client.enqueue_to("critical", "Archive", 2)
    assert "critical 2 0 0 Archive no worker" in pages.text("/queues")
    assert "Archive" in pages.text("/queues/critical")


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".", "-", "a b", "ü", "/", "a\nb", "%2f"]
)
def test_every_name_of_a_queue_has_a_page(
    pages: Pages, client: resqued.Client, name: str
) -> None:
    client.enqueue_to(name, "Archive", 1)
    link = pages.get("/queues").text.split('class="name" href="')[1].split('"')[0]
    link = link.replace("&amp;", "&")
    assert "Archive" in pages.text(link)
    (mark,) = marks_of(pages, link)
    action = re.search(r'formaction="(/remove_job/[^"]*)"', pages.get(link).text)
    assert action is not None
    pages.post(action[1].replace("&amp;", "&"), job=mark)
    assert not client.size(name)


@pytest.mark.parametrize(
    ("workers", "state"),
    [
        ((), "no worker"),
        (("web1:1:other",), "no worker"),
        (("web1:1:critical",), ""),
        (("web1:1:*",), ""),
        (("web1:1:critical,low", "web1:2:low"), ""),
        (("web1:1:a,critical",), "starved"),
        (("web1:1:*,critical", "web1:2:a,critical"), "starved"),
        (("web1:1:a,critical", "web1:2:critical,a"), ""),
    ],
)
def test_the_state_of_a_queue(
    pages: Pages,
    client: resqued.Client,
    redis: redis_py.Redis,
    workers: tuple[str, ...],
    state: str,
) -> None:
    client.enqueue_to("a", "Archive", 1)
    client.enqueue_to("critical", "Mail", 1)
    for worker_id in workers:
        register(redis, worker_id)
    serving = sum("critical" in each or "*" in each for each in workers)
    expected = f"critical 1 0 {serving} Mail {state}".strip()
    assert pages.text("/queues?q=critical").split("Actions ")[1].startswith(expected)


def test_a_queue_whose_workers_are_dead_has_no_live_worker(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("critical", "Mail", 1)
    register(redis, "web1:1:critical", is_live=False)
    assert "critical 1 0 0 /1 Mail no live worker" in pages.text("/queues")


def test_queues_are_sorted_filtered_and_paged(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:queues", *(f"q{number:03}" for number in range(150)))
    client.enqueue_to("q140", "Mail", 1)
    assert rows_of(pages, "/queues")[0] == "q000"
    assert len(rows_of(pages, "/queues")) == 100
    assert len(rows_of(pages, "/queues?start=100")) == 50
    assert rows_of(pages, "/queues?sort=size")[0] == "q140"
    assert rows_of(pages, "/queues?sort=attention")[0] == "q140"
    assert rows_of(pages, "/queues?hide_empty=1") == ["q140"]
    assert rows_of(pages, "/queues?q=q14&start=1")[0] == "q141"


def test_only_empty_queues_of_the_selected_are_removed(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:queues", "a/b", "empty", "kept")
    client.enqueue_to("full", "Mail", 1)
    boxes = boxes_of(pages, "/queues?q=")
    kept = [box for box in boxes if box != boxes[3]]
    pages.post("/queues/remove_empty", id=kept, back="/queues?q=x")
    assert client.queues() == ["full", "kept"]
    assert (
        "Removed 2 empty queues; 1 other had jobs and stayed"
        in pages.get("/queues").text
    )


def test_a_list_that_is_in_no_set_is_found_and_put_in(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("known", "Mail", 1)
    redis.rpush("resque:queue:lost[1]", "{}")
    redis.set("resque:queue:text", "no list")
    assert rows_of(pages, "/unlisted_queues") == ["lost[1]", "text"]
    assert "is not in the set of queues" in pages.text("/queues/lost[1]")
    box = boxes_of(pages, "/unlisted_queues")[0]
    pages.post("/unlisted_queues", id=box)
    assert client.queues() == ["known", "lost[1]"]


def test_a_job_is_removed_by_its_content(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_many([("Mail", number) for number in range(5)], queue="low")
    marks = marks_of(pages, "/queues/low")
    # Two jobs are taken before the form comes, so the others have moved.
    client.pop("low")
    client.pop("low")
    pages.post("/remove_job/low", job=marks[3])
    assert jobs(redis, "low") == [2, 4]
    gone = pages.post("/remove_job/low", 409, job=marks[0])
    assert "not in queue low any more" in gone.text
    assert jobs(redis, "low") == [2, 4]
    assert b'"remove job"' in redis.xrange("resque:resqued:audit")[0][1][b"action"]


def test_a_job_is_put_first(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_many([("Mail", number) for number in range(4)], queue="low")
    marks = marks_of(pages, "/queues/low")
    pages.post("/put_job_first/low", job=marks[2])
    assert jobs(redis, "low") == [2, 0, 1, 3]


def test_the_jobs_are_shown_from_both_ends(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_many([(f"Job{number}",) for number in range(120)], queue="low")
    from_head = pages.text("/queues/low")
    assert "Job0 " in from_head
    assert "Job49 " in from_head
    assert "Job50 " not in from_head
    from_tail = pages.text("/queues/low?from=tail")
    assert from_tail.index("Job119") < from_tail.index("Job118")
    assert "Job70 " in from_tail
    assert "Job69 " not in from_tail
    assert "Job69 " in pages.text("/queues/low?from=tail&start=50")


def test_a_page_of_large_jobs_is_shorter(pages: Pages, redis: redis_py.Redis) -> None:
    large = "x" * (1 << 20)
    for number in range(30):
        redis.rpush(
            "resque:queue:low", json.dumps({"class": f"Job{number}", "args": [large]})
        )
    answer = pages.get("/queues/low")
    assert len(answer.data) < 100_000
    assert "Job9<" in answer.text
    assert "Job10<" not in answer.text
    assert "start=10" in answer.text


@pytest.mark.parametrize("raw", [b"no json", b"\xff\xfe", b'{"class": 1}', b"<b>"])
def test_what_is_no_job_is_shown_and_can_be_removed(
    pages: Pages, redis: redis_py.Redis, raw: bytes
) -> None:
    redis.rpush("resque:queue:low", raw)
    assert "not a job" in pages.text("/queues/low")
    (mark,) = marks_of(pages, "/queues/low")
    found = pages.get(f"/raw_job/low?job={mark}")
    assert found.data == raw
    assert "attachment" in found.headers["Content-Disposition"]
    pages.post("/remove_job/low", job=mark)
    assert not redis.exists("resque:queue:low")


def test_a_key_that_is_no_list_says_so(pages: Pages, redis: redis_py.Redis) -> None:
    redis.sadd("resque:queues", "low")
    redis.set("resque:queue:low", "text")
    assert "no list" in pages.get("/queues/low", 409).text
    assert "low" in pages.text("/queues")


def test_a_queue_with_jobs_is_removed_by_its_typed_name(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("low", "Mail", 1)
    asked = pages.post("/queues/low/remove", 409)
    assert "1 job waits there and will be lost" in asked.text
    pages.post("/queues/low/remove", 409, typed="other")
    assert client.size("low") == 1
    pages.post("/queues/low/remove", typed="low")
    assert client.queues() == []


def test_an_empty_queue_is_removed_at_once(pages: Pages, redis: redis_py.Redis) -> None:
    redis.sadd("resque:queues", "low")
    pages.post("/queues/low/remove")
    assert not redis.smembers("resque:queues")


def test_a_viewer_has_no_buttons(open_pages: Open, client: resqued.Client) -> None:
    client.enqueue_to("low", "Mail", 1)
    pages = open_pages(read_only=True)
    for path in ("/queues", "/queues/low"):
        main = pages.get(path).text.split("<main")[1].split("</main")[0]
        assert "<button" not in main.split("Show</")[-1]
    pages.post("/queues/low/remove", 403, typed="low")
    assert client.size("low") == 1


def test_a_name_of_any_length_makes_no_long_page(
    pages: Pages, redis: redis_py.Redis
) -> None:
    name = "é<" * 100_000
    job = json.dumps({"class": name, "args": [1]}, ensure_ascii=False)
    failed = {"payload": json.loads(job), "exception": name, "error": "", "queue": name}
    redis.sadd("resque:queues", name, "mail")
    redis.rpush(f"resque:queue:{name}", job, job)
    redis.rpush("resque:queue:mail", job)
    redis.rpush("resque:failed", json.dumps(failed, ensure_ascii=False))
    for path in ("/overview", "/queues", "/queues/mail", "/enqueue", "/stats/keys"):
        text = pages.get(path).text
        assert len(text) < 100_000, path
        assert all(len(url) < 10_000 for url in re.findall(r'="([^"]*)"', text)), path
    assert "The name has 200,000 characters" in pages.text("/queues")
    found = re.search(r'<a class="name" href="([^"]*)"', pages.get("/failed").text)
    assert found
    for path in ("/failed", "/failed/groups", found[1]):
        assert len(pages.get(path).text) < 100_000, path


def test_what_is_no_job_cannot_be_edited_and_enqueued(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:queues", "mail")
    redis.rpush("resque:queue:mail", "null", '{"class":1}', "[]", "not json")
    assert "Edit and enqueue" not in pages.text("/queues/mail")
    redis.rpush("resque:queue:mail", '{"class":"Archive","args":[]}')
    assert pages.text("/queues/mail").count("Edit and enqueue") == 1
