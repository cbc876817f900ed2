"""The pages in a browser that runs no script."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from resqued.web.users_file import add_user
from tests.support.browsing import WIDTHS, Watched, new_context
from tests.support.web_server import WebServer

PASSWORD = "correct horse"


def plain(page: Page) -> None:
    """Fail if the page has a button that does nothing without a script."""
    for button in page.locator("button:visible").all():
        assert button.evaluate("each => each.type === 'submit' && Boolean(each.form)")


def test_every_page_can_be_read(
    sample: WebServer, urls: dict[str, str], browser: Browser
) -> None:
    with new_context(browser, java_script_enabled=False) as context:
        page = context.new_page()
        for path in urls.values():
            answer = page.goto(sample.url + path)
            assert answer is not None
            assert answer.status == 200, path
            expect(page.locator("h1")).to_have_count(1)
            expect(page.locator("footer")).to_be_visible()


def test_tabs_filters_and_the_search_lead_on(
    sample: WebServer, browser: Browser
) -> None:
    with new_context(browser, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{sample.url}/overview")
        plain(page)
        page.locator("#tabs a", has_text="Queues").click()
        page.locator("main input[name=q]").fill("mail")
        page.locator("main button", has_text="Show").first.click()
        expect(page.locator("main tbody tr")).to_have_count(1)
        page.locator("main tbody a", has_text="mail").click()
        expect(page.locator("h1")).to_contain_text("mail")
        page.locator("nav.pager a[rel=next]").first.click()
        expect(page.locator("main tbody tr").first).to_contain_text("51")
        page.locator("#search").fill("images")
        page.locator("#search").press("Enter")
        expect(page.locator("h1")).to_contain_text("images")
        # Narrow, the menu is open: a script would close it.
        page.set_viewport_size({"width": WIDTHS[-1], "height": 740})
        expect(page.locator("#tabs a").first).to_be_visible()
        plain(page)


def test_login_and_logout(redis_url: str, browser: Browser, tmp_path: Path) -> None:
    users = tmp_path / "users"
    add_user(users, "anna", "operator", PASSWORD)
    config = f'[web]\nauth = "password"\nusers = "{users}"\n'
    with (
        WebServer(redis_url, tmp_path, config) as web,
        new_context(browser, java_script_enabled=False) as context,
    ):
        page = context.new_page()
        watched = Watched(page)
        page.goto(f"{web.url}/queues?q=x")
        for name, word in (("anna", "wrong"), ("anna", PASSWORD)):
            page.locator("#name").fill(name)
            page.locator("#password").fill(word)
            page.locator("main button").click()
        expect(page.locator("h1")).to_have_text("Queues")
        assert page.url.endswith("/queues?q=x")
        page.locator("button", has_text="Log out anna").click()
        expect(page.locator("h1")).to_have_text("Log in")
        page.goto(f"{web.url}/overview")
        expect(page.locator("h1")).to_have_text("Log in")
        assert [each for each in watched.faults if "401" not in each] == []
