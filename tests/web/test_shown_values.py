"""How pages show names and times: names break between their parts."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
import redis as redis_py

from resqued.web.formats import moment, pieces
from tests.support.pages import Pages


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shop.mail.Send", ["shop.", "mail.", "Send"]),
        ("web2:4007:images,mail", ["web2:", "4007:", "images,", "mail"]),
        ("search/index", ["search/", "index"]),
        ("Net::ReadTimeout", ["Net::", "ReadTimeout"]),
        ("..odd", ["..", "odd"]),
        ("", []),
    ],
)
def test_pieces_of_a_name(name: str, expected: list[str]) -> None:
    assert pieces(name) == expected
    assert "".join(pieces(name)) == name


def test_a_name_of_very_many_parts_is_one_piece() -> None:
    assert pieces("a." * 1_000) == ["a." * 1_000]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-28T18:42:58Z", datetime(2026, 11, 28, 18, 42, 58, tzinfo=UTC)),
        (1_795_891_378, datetime(2026, 11, 28, 18, 42, 58, tzinfo=UTC)),
        ("yesterday", None),
        (float("nan"), None),
        (1e300, None),
        ([1], None),
        (None, None),
    ],
)
def test_the_time_of_a_record(value: object, expected: datetime | None) -> None:
    assert moment(value) == expected


def test_a_worker_of_long_name_may_break_between_its_queues(
    pages: Pages, redis: redis_py.Redis
) -> None:
    redis.sadd("resque:workers", "web1.example.org:4000:imports,search/index")
    html = pages.get("/workers/all").text
    assert re.search(r"4000:<wbr>imports,<wbr>search/<wbr>index</a>", html)


def test_a_page_that_is_not_there_is_named(pages: Pages) -> None:
    answer = pages.get("/no-such-page", status=404).text
    assert "There is no page /no-such-page." in answer
