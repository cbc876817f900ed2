"""Parts of a page that update themselves, and what stops them.

The tests count the requests for parts: what has stopped sends none, while the frame,
with tabs and banners, continues.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis as redis_py
from playwright.sync_api import Browser, Page, expect

import resqued
from resqued.system.redis_server import EmbeddedServer
from resqued.web.users_file import add_user
from tests.support.browsing import new_context
from tests.support.wait import wait_until
from tests.support.web_server import WebServer

PASSWORD = "correct horse"


class Requests:
    """The answers to requests for parts that a page has had since the last look."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._found: list[tuple[str, int]] = []
        page.on("response", lambda answer: self._add(answer.url, answer.status))

    def _add(self, url: str, status: int) -> None:
        if "part=" in url:
            part = url.partition("part=")[2].partition("&")[0]
            self._found.append((part, status))

    def wait_for(self, part: str, count: int, status: int | None = None) -> None:
        """Wait until a part has been answered so often, from now on."""
        self._found.clear()

        def are_there() -> bool:
            self._page.wait_for_timeout(20)
            return self.count(part, status) >= count

        wait_until(are_there, what=f"{count} answers for {part}")

    def count(self, part: str, status: int | None = None) -> int:
        """Return how often a part was answered."""
        return sum(
            each == part and status in (None, code) for each, code in self._found
        )


@pytest.fixture
def client(redis_url: str) -> Iterator[resqued.Client]:
    with resqued.Client(redis_url) as client:
        yield client


@pytest.fixture
def queues(web: WebServer, client: resqued.Client, page: Page) -> Page:
    """The page of two queues."""
    client.enqueue_to("mail", "Send", 1)
    client.enqueue_to("images", "Resize", 2)
    page.goto(f"{web.url}/queues")
    expect(page.locator("main table")).to_contain_text("mail")
    return page


@pytest.fixture
def parts(queues: Page) -> Requests:
    return Requests(queues)


def row(page: Page, queue: str) -> str:
    """Return the text of the row of a queue."""
    return page.locator("main tbody tr", has_text=queue).inner_text()


def wait_for_stop(page: Page, parts: Requests, reason: str) -> None:
    """Wait until the page says why it has stopped, and has stopped."""
    expect(page.locator("#live")).to_have_attribute("title", f"paused: {reason}")
    expect(page.locator("#live-state")).to_have_text(f"Updates are paused: {reason}")
    # An answer that was on its way; then three turns of the frame without the table.
    parts.wait_for("frame", 1)
    parts.wait_for("frame", 3)
    assert parts.count("table") == 0


def test_numbers_change_and_unchanged_parts_are_not_sent(
    queues: Page, parts: Requests, client: resqued.Client
) -> None:
    queues.evaluate("window.isSamePage = true")
    parts.wait_for("table", 1, status=304)
    parts.wait_for("frame", 1, status=304)
    for number in range(12):
        client.enqueue_to("mail", "Send", number)
    expect(queues.locator("main tbody tr", has_text="mail")).to_contain_text("13")
    expect(queues.locator("#tabs a", has_text="Queues")).to_contain_text("14")
    current = queues.locator("#tabs a[aria-current=page]")
    expect(current).to_contain_text("Queues")
    assert queues.evaluate("window.isSamePage")


def test_the_order_of_rows_is_stable(
    queues: Page, parts: Requests, client: resqued.Client
) -> None:
    names = queues.locator("main tbody .name")
    before = names.all_inner_texts()
    for number in range(9):
        client.enqueue_to(before[-1], "Send", number)
    expect(queues.locator("main tbody tr").last).to_contain_text("10")
    assert names.all_inner_texts() == before


# A box as the lists have it that can be changed by many at once.
BOX = """row => {
  const box = document.createElement("input");
  box.type = "checkbox"; box.name = "id"; box.className = "test-box";
  box.setAttribute("aria-label", "Select");
  row.cells[0].prepend(box);
}"""


def test_ticked_boxes_survive_and_stop_the_updates(
    queues: Page, parts: Requests, client: resqued.Client
) -> None:
    queues.locator("main tbody tr").first.evaluate(BOX)
    box = queues.locator(".test-box")
    box.check()
    client.enqueue_to("mail", "Send", 3)
    wait_for_stop(queues, parts, "1 selected")
    assert box.is_checked()
    box.uncheck()
    expect(queues.locator("main tbody tr", has_text="mail")).to_contain_text("2")
    expect(queues.locator("#live-state")).to_be_empty()


def test_an_answer_that_comes_too_late_to_show_is_asked_for_again(
    queues: Page, parts: Requests, client: resqued.Client
) -> None:
    box = queues.locator(".test-box")
    queues.locator("main tbody tr").first.evaluate(BOX)
    held = []
    queues.route("**/queues?*part=table*", lambda route: held.append(route))  # noqa: PLW0108 - it is bound
    wait_until(lambda: queues.wait_for_timeout(20) or held, what="a request")
    client.enqueue_to("mail", "Send", 3)
    box.check()
    held[0].continue_()
    queues.unroute("**/queues?*part=table*")
    wait_for_stop(queues, parts, "1 selected")
    assert box.is_checked()
    box.uncheck()
    expect(queues.locator("main tbody tr", has_text="mail")).to_contain_text("2")


def test_a_field_in_use_stops_the_updates(queues: Page, parts: Requests) -> None:
    field = queues.locator("main input[name=q]")
    field.fill("mai")
    wait_for_stop(queues, parts, "a field is in use")
    assert field.input_value() == "mai"
    field.blur()
    parts.wait_for("table", 1)


def test_an_open_dialog_stops_the_updates(queues: Page, parts: Requests) -> None:
    queues.keyboard.press("?")
    wait_for_stop(queues, parts, "a dialog is open")
    assert queues.locator("#help").is_visible()
    queues.keyboard.press("Escape")
    parts.wait_for("table", 1)


def test_selected_text_stops_the_updates(queues: Page, parts: Requests) -> None:
    queues.locator("h1").select_text()
    wait_for_stop(queues, parts, "text is selected")
    assert queues.evaluate("String(getSelection())").strip() == "Queues"
    queues.evaluate("getSelection().removeAllRanges()")
    parts.wait_for("table", 1)


# What the browser says of a tab that is not in front.
HIDE = """isHidden => {
  Object.defineProperty(document, "hidden", {get: () => isHidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_hidden_tab_asks_for_nothing(
    queues: Page, parts: Requests, client: resqued.Client, redis: redis_py.Redis
) -> None:
    parts.wait_for("table", 1)
    queues.evaluate(HIDE, True)
    expect(queues.locator("#live")).to_have_attribute(
        "title", "paused: the page is hidden"
    )
    queues.wait_for_load_state("networkidle")
    parts._found.clear()
    client.enqueue_to("mail", "Send", 3)
    # Longer than three turns would take.
    queues.evaluate("new Promise(done => setTimeout(done, 7000))")
    assert parts._found == []
    assert "2" not in row(queues, "mail")
    queues.evaluate(HIDE, False)
    expect(queues.locator("main tbody tr", has_text="mail")).to_contain_text("2")


def test_the_button_switches_updates_off_and_that_is_remembered(
    queues: Page, parts: Requests
) -> None:
    queues.locator("#live").click()
    expect(queues.locator("#live")).to_have_text("Live: off")
    queues.reload()
    expect(queues.locator("#live")).to_have_text("Live: off")
    queues.keyboard.press("r")
    expect(queues.locator("#live")).to_have_text("Live")
    parts.wait_for("table", 1)


def test_while_redis_is_away_a_banner_says_so_and_it_goes_by_itself(
    browser: Browser, page: Page, tmp_path: Path
) -> None:
    place = tmp_path / "server"
    server = EmbeddedServer.start(place, options={"requirepass": ""}, append_only=True)
    with server, WebServer(server.url, tmp_path) as web:
        with resqued.Client(server.url) as client:
            client.enqueue_to("mail", "Send", 1)
        page.goto(f"{web.url}/queues")
        expect(page.locator("main table")).to_contain_text("mail")
        psutil.Process(server.pid).send_signal(signal.SIGSTOP)
        try:
            expect(page.locator("#trouble")).to_contain_text("Redis does not answer")
            expect(page.locator("#table")).not_to_have_css("opacity", "1")
            # What was read last is still there.
            assert "mail" in row(page, "mail")
        finally:
            psutil.Process(server.pid).send_signal(signal.SIGCONT)
        expect(page.locator("#trouble")).to_have_count(0)
        expect(page.locator("#table")).to_have_css("opacity", "1")


def test_a_page_that_never_had_redis_comes_when_redis_does(
    page: Page, tmp_path: Path
) -> None:
    place = tmp_path / "server"
    with EmbeddedServer.start(place, options={"requirepass": ""}) as server:
        port, url = server.port, server.url
    with WebServer(url, tmp_path) as web:
        page.goto(f"{web.url}/queues")
        expect(page.locator("#trouble")).to_contain_text("Redis does not answer")
        options = {"requirepass": ""}
        with EmbeddedServer.start(place, options=options, port=port):
            expect(page.locator("h1")).to_have_text("Queues")
            expect(page.locator("#trouble")).to_have_count(0)


def test_killed_and_started_again_the_pages_go_on(
    queues: Page, parts: Requests, web: WebServer, client: resqued.Client
) -> None:
    web.kill()
    expect(queues.locator("#live-state")).to_contain_text("No answer since")
    expect(queues.locator("#table")).to_have_class("stale")
    web.start()
    client.enqueue_to("mail", "Send", 3)
    expect(queues.locator("main tbody tr", has_text="mail")).to_contain_text("2")
    expect(queues.locator("#live-state")).to_be_empty()
    expect(queues.locator("#table")).not_to_have_class("stale")


def test_a_session_that_ends_leads_to_the_login(
    redis_url: str, client: resqued.Client, browser: Browser, tmp_path: Path
) -> None:
    users = tmp_path / "users"
    add_user(users, "anna", "operator", PASSWORD)
    client.enqueue_to("mail", "Send", 1)
    config = f'[web]\nauth = "password"\nusers = "{users}"\n'
    with WebServer(redis_url, tmp_path, config) as web, new_context(browser) as own:
        page = own.new_page()
        page.goto(f"{web.url}/queues")
        page.locator("#name").fill("anna")
        page.locator("#password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Queues")
        # No part may ever be the form.
        page.evaluate(
            "new MutationObserver(() => window.hasForm = document.querySelector("
            "'[data-live] form.login')).observe(document, {childList: true,"
            " subtree: true}); addEventListener('beforeunload', () => sessionStorage"
            ".setItem('hasForm', Boolean(window.hasForm)))"
        )
        add_user(users, "anna", "operator", "another password")
        expect(page.locator("h1")).to_have_text("Log in")
        assert page.evaluate("sessionStorage.getItem('hasForm')") == "false"
        page.locator("#name").fill("anna")
        page.locator("#password").fill("another password")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Queues")


def test_the_page_of_a_proxy_is_no_part(queues: Page, parts: Requests) -> None:
    queues.route(
        "**/queues?*part=table*",
        lambda route: route.fulfill(content_type="text/html", body="<h1>Sign in</h1>"),
    )
    expect(queues.locator("#live-state")).to_contain_text("No answer since")
    assert "Sign in" not in queues.locator("main").inner_text()
