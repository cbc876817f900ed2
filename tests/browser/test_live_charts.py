"""Charts update live: the chart that is there gets new numbers, and stays."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from resqued.core.run_tally import RunTally
from resqued.store.connection import SingleLink
from resqued.store.history_writer import HistoryWriter
from resqued.wire.keys import Keys
from tests.support.wait import scaled
from tests.support.web_server import WebServer


def count(url: str, number: int) -> None:
    """Have the history count runs in the present minute."""
    tally = RunTally()
    for _ in range(number):
        tally.count("Report", "high", 250, has_failed=False)
    link = SingleLink(url)
    HistoryWriter(link, Keys()).add_runs(tally)
    link.close()


def test_a_chart_gets_new_numbers_and_stays(
    web: WebServer, redis_url: str, page: Page
) -> None:
    count(redis_url, 1_000)
    page.goto(f"{web.url}/charts?span=1h")
    chart = page.locator("#plot-1 .uplot")
    expect(chart).to_be_visible()
    page.locator("#numbers-1 summary").click()
    chart.evaluate("each => { each.dataset.mark = 'same'; }")
    page.locator("#plot-1 .u-over").hover()
    count(redis_url, 4_321)
    # The sum of two minutes, if the next one has begun.
    rows = page.locator("#numbers-1 tbody tr")
    expect(rows.filter(has_text="321").first).to_be_visible(timeout=scaled(60) * 1_000)
    expect(chart).to_have_attribute("data-mark", "same")
    expect(page.locator("#numbers-1")).to_have_attribute("open", "")
    expect(page.locator("#plot-1 .u-legend")).not_to_contain_text("--")
