"""The charts of the history."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import html5lib
import pytest
import redis as redis_py

import resqued
from resqued.core.run_tally import RunTally
from resqued.store.connection import SingleLink
from resqued.store.history_writer import HistoryWriter
from resqued.wire.keys import Keys
from tests.support.pages import Pages

SPANS = ("1h", "6h", "24h", "3d", "30d", "90d")


@pytest.fixture
def writer(redis_url: str) -> Iterator[HistoryWriter]:
    link = SingleLink(redis_url)
    yield HistoryWriter(link, Keys())
    link.close()


def runs(number: int, name: str = "Report", queue: str = "high") -> RunTally:
    tally = RunTally()
    for n in range(number):
        tally.count(name, queue, 250, has_failed=n == 0)
    return tally


def numbers(html: str) -> list[float]:
    """Return the values of the first column of the first table."""
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    rows = tree.find(".//table").findall(".//tbody/tr")
    return [float(row.find("td").get("data-value") or 0) for row in rows]


def test_without_a_history_the_page_says_how_to_switch_it_on(pages: Pages) -> None:
    text = pages.text("/charts")
    assert "[history]" in text
    assert 'resolution = "minutes"' in text


@pytest.mark.parametrize("span", SPANS)
def test_every_range_has_a_table_below_each_chart(
    pages: Pages, writer: HistoryWriter, span: str
) -> None:
    writer.add_runs(runs(7))
    html = pages.get(f"/charts?span={span}").text
    assert html.count("<table") == html.count('<figure class="chart"') == 6
    assert sum(numbers(html)) == 7
    pages.text(f"/charts?span={span}")


def test_a_class_and_a_queue_have_charts(pages: Pages, writer: HistoryWriter) -> None:
    writer.add_runs(runs(9))
    writer.add_runs(runs(3, "Other", "low"))
    text = pages.text("/charts?class=Report&span=1h")
    assert "up to 300 ms 9" in text
    assert "Half of the runs took at most 300 ms" in text
    assert sum(numbers(pages.get("/charts?class=Report&span=1h").text)) == 9
    assert "Waiting" in pages.text("/charts?queue=low")
    assert "Nothing is known of this" in pages.text("/charts?queue=none")


@pytest.mark.parametrize("name", ["<b>", "a&b", "ü", '"', "a\udcff"])
def test_every_name_can_be_chosen(
    pages: Pages, writer: HistoryWriter, name: str
) -> None:
    writer.add_runs(runs(4, name, name))
    html = pages.get("/charts?span=1h").text
    for part in html.split('<option value="c:')[1:]:
        token = part.split('"')[0]
        shown = pages.get(f"/charts?span=1h&of=c:{quote(token)}").text
        assert sum(numbers(shown)) == 4
        assert "selected" in shown


@pytest.mark.parametrize("query", ["span=7h", "of=c:x", "of=q:%FF%C3%28a"])
def test_odd_requests_are_refused(pages: Pages, query: str) -> None:
    pages.get(f"/charts?{query}", 404)


def test_many_looks_cost_one(
    pages: Pages, writer: HistoryWriter, redis: redis_py.Redis
) -> None:
    writer.add_runs(runs(1))
    pages.get("/charts")
    redis.config_resetstat()
    for _ in range(5):
        pages.get("/charts")
    assert "cmdstat_getrange" not in redis.info("commandstats")


def test_sparklines_of_many_queues_are_read_together(
    client: resqued.Client, redis: redis_py.Redis
) -> None:
    redis.config_resetstat()
    found = client.history.of_queues([f"q{n}" for n in range(100)], "wait")
    assert len(found["q7"].values) == 60
    assert set(found["q7"].values) == {None}
    assert redis.info("commandstats")["cmdstat_time"]["calls"] == 1
    with pytest.raises(resqued.ArgumentError):
        client.history.of_queues(["q"], "wait", "90d")


def test_a_step_that_is_not_over_is_no_drop_of_the_line(
    pages: Pages, writer: HistoryWriter
) -> None:
    writer.add_runs(runs(7))
    answer = pages.get("/charts?span=1h&part=charts")
    assert "so far" in answer.text
    # The line of the runs ends before the present minute, which is in the table.
    points = answer.text.partition('points="')[2].partition('"')[0]
    assert len(points.split()) == 59
    assert numbers(answer.text)[0] == 7
    assert answer.headers["X-Interval"] == "10000"
    tag = {"HX-PTag": answer.headers["HX-PTag"]}
    pages.get("/charts?span=1h&part=charts", 304, headers=tag)
