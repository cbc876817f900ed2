"""Statistics, the server, keys, /stats.txt, and the paths that Resque polls."""

from __future__ import annotations

import json
import socket

import pytest
import redis as redis_py

import resqued
from tests.support.cli import add_failure
from tests.support.pages import Open, Pages


def test_stats_txt_has_the_lines_of_resque(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    for n in range(3):
        client.enqueue_to("mail", "Archive", n)
    add_failure(redis, 1)
    redis.mset({"resque:stat:processed": 7, "resque:stat:failed": 5})
    redis.sadd("resque:workers", "web1:1:mail")
    found = pages.get("/stats.txt")
    assert found.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert found.text == (
        "resque.pending=3\nresque.processed+=7\nresque.failed+=1\n"
        "resque.workers=1\nresque.working=0\nqueues.mail=3"
    )


def test_no_name_of_a_queue_makes_a_line_of_its_own(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("a\nresque.failed+=9\rb", "Archive")
    client.enqueue_to("<b>", "Archive")
    lines = pages.get("/stats.txt").text.splitlines()
    assert "queues.a\\nresque.failed+=9\\x0db=1" in lines
    assert "queues.<b>=1" in lines
    assert len(lines) == 7


def test_statistics_begin_with_the_counters(
    pages: Pages, client: resqued.Client
) -> None:
    assert pages.get("/stats", 302).location == "/stats/resque"
    client.enqueue_to("mail", "Archive")
    assert "pending 1" in pages.text("/stats/resque")


def test_the_server_is_shown_with_what_doctor_says(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        text = pages.text("/stats/redis")
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
    assert "allkeys-lru" in text
    assert "redis policy warning" in text
    assert "used_memory_human" in text
    assert "Keyspace" in text


def test_many_looks_at_the_server_cost_one(pages: Pages, redis: redis_py.Redis) -> None:
    redis.config_resetstat()
    for _ in range(5):
        pages.get("/stats/redis?part=server")
    # This test's own INFO is not in the numbers that it returns.
    assert redis.info("commandstats")["cmdstat_info"]["calls"] == 1


def test_a_server_that_is_away_has_a_page_all_the_same(open_pages: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pages = open_pages(url=f"redis://127.0.0.1:{port}")
    assert "Connection refused" in pages.text("/stats/redis")


# Keys


def test_keys_are_listed_with_type_and_size(
    pages: Pages, client: resqued.Client, redis: redis_py.Redis
) -> None:
    client.enqueue_to("mail", "Archive", 1)
    client.enqueue_to("mail", "Archive", 2)
    redis.set("other:key", "not ours")
    text = pages.text("/stats/keys")
    assert "queue:mail list 2" in text
    assert "queues set 1" in text
    assert "not ours" not in text
    assert "other" not in text


def test_keys_are_read_in_parts_and_never_by_keys(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.mset({f"resque:k{n}": "" for n in range(2_000)})
    redis.config_resetstat()
    path, names = "/stats/keys", set()
    while path:
        html = pages.get(path).text
        names |= {part.split('"')[0] for part in html.split("/stats/keys/")[1:]}
        rest = html.partition('rel="next" href="')[2]
        path = rest.partition('"')[0].replace("&amp;", "&")
    assert names == {f"k{n}" for n in range(2_000)}
    stats = redis.info("commandstats")
    assert "cmdstat_keys" not in stats
    assert stats["cmdstat_scan"]["calls"] >= 4


@pytest.mark.parametrize("text", ["*", "[a]", "\\", "a-b"])
def test_a_text_is_no_pattern(pages: Pages, redis: redis_py.Redis, text: str) -> None:
    redis.set(f"resque:x{text}y", 1)
    redis.set("resque:plain", 1)
    shown = pages.get("/stats/keys", query_string={"q": text}).text
    assert shown.count('class="name"') == 1
    assert "plain" not in shown


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("SET", "k", "hello"), "hello"),
        (("RPUSH", "k", "one", "two"), "Value 0 one 1 two"),
        (("SADD", "k", "one", "two"), "one two"),
        (("ZADD", "k", "1.5", "one", "2", "two"), "1.5 one 2 two"),
        (("HSET", "k", "field", "value"), "field value"),
        (("XADD", "k", "7-0", "field", "value"), "7-0 field=value"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_values_of_each_type_are_shown(
    pages: Pages, redis: redis_py.Redis, command: tuple[str, ...], shown: str
) -> None:
    name, _, *rest = command
    redis.execute_command(name, "resque:k", *rest)
    assert shown in pages.text("/stats/keys/k")


@pytest.mark.parametrize("kind", ["list", "zset", "hash", "set", "stream"])
def test_large_values_are_shown_a_page_at_a_time(
    pages: Pages, redis: redis_py.Redis, kind: str
) -> None:
    key = "resque:k"
    values = [f"value-{n:04}" for n in range(1_000)]
    match kind:
        case "list":
            redis.rpush(key, *values)
        case "zset":
            redis.zadd(key, {one: n for n, one in enumerate(values)})
        case "hash":
            redis.hset(key, mapping={one: one for one in values})
        case "set":
            redis.sadd(key, *values)
        case "stream":
            for one in values:
                redis.xadd(key, {"v": one})
    path, seen, most = "/stats/keys/k", set(), 0
    while path:
        html = pages.get(path).text
        page = {one for one in values if one in html}
        seen |= page
        most = max(most, len(page))
        rest = html.partition('rel="next" href="')[2]
        path = rest.partition('"')[0].replace("&amp;", "&")
    assert seen == set(values)
    assert most <= 100


@pytest.mark.parametrize("name", [b"a/b", b"..", b"a\nb", b"\xff", b"", b"-"])
def test_every_key_has_a_page(pages: Pages, redis: redis_py.Redis, name: bytes) -> None:
    redis.set(b"resque:" + name, b"\xff\x00<b>found")
    html = pages.get("/stats/keys").text
    link = html.split('class="name" href="')[1].split('"')[0]
    text = pages.text(link.replace("&amp;", "&"))
    assert "\\xff\\x00<b>found" in text


def test_what_is_gone_is_said(pages: Pages) -> None:
    assert "no key" in pages.get("/stats/keys/none", 404).text


def test_keys_are_for_administrators(open_pages: Open) -> None:
    pages = open_pages(
        auth="proxy", trusted_proxies=("127.0.0.1",), roles={"operator": ("*",)}
    )
    headers = {"X-Remote-User": "anna"}
    pages.get("/stats/keys", 403, headers=headers)
    pages.get("/stats/keys/queues", 403, headers=headers)
    pages.get("/stats/keys.poll", 403, headers=headers)
    assert "/stats/keys" not in pages.get("/stats/resque", headers=headers).text


def test_secrets_are_hidden_in_values_too(
    open_pages: Open, redis: redis_py.Redis, client: resqued.Client
) -> None:
    about = {"parameters": ["name", "password"]}
    redis.hset("resque:resqued:jobs", "Login", json.dumps(about))
    client.enqueue_to("mail", "Login", "anna", "hunter2", {"password": "hunter3"})
    text = open_pages(redact=("password",)).text("/stats/keys/queue:mail")
    assert "anna" in text
    assert "hunter" not in text


# Names of arguments, and what Resque polls


def test_arguments_have_the_names_that_masters_have_written(
    open_pages: Open, redis: redis_py.Redis, client: resqued.Client
) -> None:
    about = {"parameters": ["name", "password"]}
    redis.hset("resque:resqued:jobs", mapping={"Login": json.dumps(about), "X": "{"})
    client.enqueue_to("mail", "Login", "anna", "hunter2")
    client.enqueue_to("mail", "X", 1)
    pages = open_pages(redact=("password",))
    redis.config_resetstat()
    for _ in range(3):
        text = pages.text("/queues/mail")
    assert "name anna password [redacted]" in text
    # Once for each class.
    assert redis.info("commandstats")["cmdstat_hget"]["calls"] <= 2


@pytest.mark.parametrize(
    "path", ["/overview", "/queues", "/stats/resque", "/stats/redis", "/stats/keys"]
)
def test_poll_has_the_page_without_its_frame(
    pages: Pages, client: resqued.Client, path: str
) -> None:
    client.enqueue_to("mail", "Archive")
    html = pages.get(f"{path}.poll").text
    assert "<h1>" in html
    assert "<html" not in html
    assert "<header" not in html


@pytest.mark.parametrize(
    "cursor", ["18446744073709551616", "9" * 20, "\uff11\uff12", "-1"]
)
def test_a_cursor_that_the_server_refuses_begins_at_the_start(
    pages: Pages, redis: redis_py.Redis, cursor: str
) -> None:
    redis.sadd("resque:queues", "mail")
    redis.xadd("resque:stream", {"a": "b"})
    for path in ("/stats/keys", "/stats/keys/queues", "/stats/keys/stream"):
        for text in (cursor, f"{cursor}-{cursor}"):
            pages.get(f"{path}?cursor={text}")
    pages.get(f"/unlisted_queues?cursor={cursor}", 404)
