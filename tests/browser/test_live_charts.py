"""Charts update live: the chart that is there gets new numbers, and stays."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from resqued.core.run_tally import RunTally
from resqued.store.connection import SingleLink
from resqued.store.history_writer import HistoryWriter
from resqued.wire.keys import Keys
from tests.support.wait import scaled
from tests.support.web_server import WebServer

# Has each chart of uPlot at its element, to ask what it has drawn.
EXPOSE = """
let kept;
Object.defineProperty(window, "uPlot", {
  get: () => kept,
  set: (made) => {
    kept = new Proxy(made, {
      construct(target, values) {
        const chart = new target(...values);
        chart.root.chart = chart;
        return chart;
      },
    });
  },
});
"""
# The numbers of the line of runs, the largest that the axis has place for, and the
# height of the highest point of the line, in parts of the height of the chart.
DRAWN = """
each => {
  const { data, scales, bbox } = each.chart;
  const runs = data[1].filter((value) => value);
  const top = each.chart.valToPos(Math.max(...runs), "y", true);
  return [runs, scales.y.max, 1 - (top - bbox.top) / bbox.height];
}
"""
PICTURE = "each => each.querySelector('canvas').toDataURL()"


class PastLink(SingleLink):
    """A link to a server whose clock stands: in a minute that is over."""

    at = 0.0

    def time(self) -> float:
        self.at = self.at or super().time() - 180
        return self.at


def count(link: PastLink, number: int) -> None:
    """Have the history count runs in the minute of the link."""
    tally = RunTally()
    for _ in range(number):
        tally.count("Report", "high", 250, has_failed=False)
    HistoryWriter(link, Keys()).add_runs(tally)


def check_drawn(chart: Locator, number: int) -> None:
    """Raise unless the line has this number, on an axis that has place for it."""
    runs, most, height = chart.evaluate(DRAWN)
    assert runs == [number]
    assert number <= most <= 1.1 * number
    assert 0.9 <= height <= 1


def test_a_chart_gets_new_numbers_and_stays(
    web: WebServer, redis_url: str, page: Page
) -> None:
    link = PastLink(redis_url)
    count(link, 1_000)
    page.add_init_script(EXPOSE)
    page.goto(f"{web.url}/charts?span=1h")
    chart = page.locator("#plot-1 .uplot")
    expect(chart).to_be_visible()
    check_drawn(chart, 1_000)
    before = chart.evaluate(PICTURE)
    page.locator("#numbers-1 summary").click()
    chart.evaluate("each => { each.dataset.mark = 'same'; }")
    page.locator("#plot-1 .u-over").hover()
    count(link, 4_321)
    link.close()
    rows = page.locator("#numbers-1 tbody tr")
    new = rows.filter(has_text="5,321").first
    expect(new).to_be_visible(timeout=scaled(60) * 1_000)
    expect(chart).to_have_attribute("data-mark", "same")
    check_drawn(chart, 5_321)
    assert chart.evaluate(PICTURE) != before
    expect(page.locator("#numbers-1")).to_have_attribute("open", "")
    expect(page.locator("#plot-1 .u-legend")).not_to_contain_text("--")
