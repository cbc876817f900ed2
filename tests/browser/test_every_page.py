"""Each page in a browser: both themes, three widths, no fault, nobody left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.base import AxeResults
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.browsing import THEMES, WIDTHS, Watched, new_context
from tests.support.web_server import WebServer
from tests.support.web_tour import VARIANTS, page_endpoints

AXE = Axe()
ALL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Nothing else differs between the themes, and most of the time is that of the rules.
RULES = {"light": ALL, "dark": ["color-contrast"]}
# Tables are tables, or cards.
LAYOUTS = (WIDTHS[0], WIDTHS[-1])


@pytest.fixture(scope="session")
def context(browser: Browser) -> Iterator[BrowserContext]:
    with new_context(browser, color_scheme="light") as context:
        yield context


def refused_by(page: Page, rules: list[str]) -> str:
    """Return the report of the rules that a page breaks; "" without any.

    The page has the program of the rules already.
    """
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    found = AxeResults(page.evaluate("options => axe.run(options)", options))
    return str(found.generate_report()) if found.violations_count else ""


@pytest.mark.parametrize("name", [*page_endpoints(), *VARIANTS])
def test_a_page_is_whole(
    sample: WebServer, urls: dict[str, str], context: BrowserContext, name: str
) -> None:
    path = VARIANTS.get(name) or urls.get(name)
    assert path, f"no link leads to {name}: see tests/support/web_tour.py"
    page = context.new_page()
    watched = Watched(page)
    try:
        page.goto(sample.url + path)
        assert page.locator("h1").count() == 1
        for part in page.locator("[data-live]").all():
            answer = page.request.get(sample.url + (part.get_attribute("hx-get") or ""))
            assert answer.status == 200, answer.url
        page.evaluate(AXE.axe_script)
        for width in WIDTHS:
            watched.resize(width)
            for theme in THEMES:
                page.emulate_media(color_scheme=theme)
                assert watched.too_wide() == [], (width, theme)
                if width in LAYOUTS:
                    assert not refused_by(page, RULES[theme]), (width, theme)
        assert watched.violations() == []
        if name != "no such page":
            assert watched.faults == []
    finally:
        page.close()


def test_the_header_is_not_in_the_way(sample: WebServer, browser: Browser) -> None:
    """Ten tabs with counts have one line at 1280 px, and a menu at 360 px."""
    with new_context(browser) as context:
        page = context.new_page()
        page.goto(f"{sample.url}/overview")
        tabs = page.locator("#tabs a")
        one = tabs.nth(1)
        for _ in range(10 - tabs.count()):
            one.evaluate("tab => tab.after(tab.cloneNode(true))")
        tops = tabs.evaluate_all("tabs => tabs.map(tab => tab.offsetTop)")
        assert len(tops) >= 10
        assert len(set(tops)) == 1
        Watched(page).resize(360)
        height = "id => document.querySelector(id).offsetHeight"
        banners = page.evaluate(height, "#banners")
        assert page.evaluate(height, "header") - banners <= 120
        assert not one.is_visible()
        page.locator("#menu").click()
        assert one.is_visible()
        assert page.locator("#menu").get_attribute("aria-expanded") == "true"
        assert Watched(page).too_wide() == []
