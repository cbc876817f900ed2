"""The pages by the keyboard alone."""

from __future__ import annotations

import re

import pytest
import redis as redis_py
from playwright.sync_api import Browser, Page, expect

import resqued
from tests.support.browsing import new_context
from tests.support.wait import wait_until
from tests.support.web_server import WebServer


@pytest.fixture
def queues(web: WebServer, redis_url: str, page: Page) -> Page:
    with resqued.Client(redis_url) as client:
        for name in ("images", "mail", "reports"):
            client.enqueue_to(name, "Send", 1)
    page.goto(f"{web.url}/queues")
    expect(page.locator("#keys")).to_be_visible()
    return page


def focused(page: Page) -> str:
    """Return the text of what has the focus."""
    found: str = page.evaluate("document.activeElement.innerText || ''")
    return found.strip()


def press(page: Page, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def test_the_skip_link_leads_to_the_content(queues: Page) -> None:
    press(queues, "Tab")
    assert focused(queues) == "Skip to the content"
    assert queues.locator(".skip").bounding_box()["x"] >= 0
    press(queues, "Enter")
    assert queues.evaluate("document.activeElement.id") == "main"
    press(queues, "Tab")
    assert queues.evaluate("Boolean(document.activeElement.closest('main'))")


def test_the_tabs_are_reached_in_their_order(queues: Page) -> None:
    seen = []
    for _ in range(12):
        press(queues, "Tab")
        seen.append(focused(queues).partition(" ")[0].partition("\n")[0])
    assert seen.index("Overview") < seen.index("Queues")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    queues.locator("#tabs a").first.focus()
    press(queues, "Tab")
    assert queues.evaluate(outline) != "none"


def test_a_list_of_all_keys_opens_and_gives_the_focus_back(queues: Page) -> None:
    queues.locator("#tabs a").first.focus()
    press(queues, "?")
    help_ = queues.locator("#help")
    expect(help_).to_be_visible()
    shown = {key.strip() for key in help_.locator("kbd").all_inner_texts()}
    assert shown == set("/goqwfkjkxe#rt?")
    # Its own keys do nothing behind it.
    press(queues, "g o Escape")
    expect(help_).to_be_hidden()
    assert focused(queues).startswith("Overview")
    assert queues.url.endswith("/queues")


def test_keys_lead_to_pages_and_to_the_search(queues: Page) -> None:
    press(queues, "g o")
    expect(queues.locator("h1")).to_have_text("Overview")
    press(queues, "g q")
    expect(queues.locator("h1")).to_have_text("Queues")
    press(queues, "/")
    assert queues.evaluate("document.activeElement.id") == "search"
    press(queues, "m a i l Enter")
    expect(queues.locator("h1")).to_contain_text("mail")


# A list from which several can be chosen, as those of failures are.
LIST = """main => {
  const row = (name) => `<tr><td><input type="checkbox" name="id" value="${name}"
    aria-label="Select"></td><td><a href="#${name}">${name}</a></td></tr>`;
  main.innerHTML = `<h1>List</h1><form method="get">
    <button formaction="/failed/retry_remove">Retry and remove</button>
    <button formaction="/failed/remove">Remove</button>
    <table class="list"><tbody>${["images", "mail", "reports"].map(row).join("")}
    </tbody></table></form>`;
  window.clicked = [];
  const form = main.querySelector("form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const ids = new FormData(form).getAll("id");
    window.clicked.push([event.submitter.innerText, ids.length]);
  });
}"""


@pytest.fixture
def listed(queues: Page) -> Page:
    queues.locator("#live").click()  # Off: what the test puts in must stay.
    queues.evaluate("document.activeElement.blur()")
    queues.locator("main").evaluate(LIST)
    return queues


def test_rows_are_walked_and_selected(listed: Page) -> None:
    current = "document.activeElement.closest('tr').innerText.trim()"
    press(listed, "j")
    assert listed.evaluate(current) == "images"
    press(listed, "j j")
    assert listed.evaluate(current) == "reports"
    press(listed, "j k")
    assert listed.evaluate(current) == "mail"
    press(listed, "x")
    boxes = listed.locator("main input[name=id]")
    assert [box.is_checked() for box in boxes.all()] == [False, True, False]
    press(listed, "x")
    assert not boxes.nth(1).is_checked()


def test_what_is_selected_is_retried_and_removed_after_a_question(listed: Page) -> None:
    press(listed, "e #")
    assert listed.evaluate("window.clicked") == []
    assert not listed.locator("#question").is_visible()
    press(listed, "j x j x e")
    assert listed.evaluate("window.clicked") == [["Retry and remove", 2]]
    press(listed, "#")
    expect(listed.locator("#question-text")).to_have_text(
        "Remove the 2 that are selected?"
    )
    # The first button is the one that changes nothing.
    press(listed, "Enter")
    press(listed, "# Escape")
    assert len(listed.evaluate("window.clicked")) == 1
    press(listed, "# Tab Enter")
    expect(listed.locator("#question")).to_be_hidden()
    # No wait_for_function: it has the page evaluate a text, which the policy forbids.
    wait_until(
        lambda: listed.evaluate("window.clicked")[1:] == [["Remove", 2]],
        what="the form to be sent",
    )


def test_a_question_that_ends_late_is_answered_once(listed: Page) -> None:
    press(listed, "j x #")
    # The event of the question before may come after the answer to this one.
    listed.evaluate(
        """() => {
          const question = document.getElementById("question");
          question.close("yes");
          question.dispatchEvent(new Event("close"));
          question.dispatchEvent(new Event("close"));
        }"""
    )
    wait_until(lambda: listed.evaluate("window.clicked"), what="the form to be sent")
    # The event of the browser itself has come when the next question has ended.
    press(listed, "# Escape")
    expect(listed.locator("#question")).to_be_hidden()
    assert listed.evaluate("window.clicked") == [["Remove", 1]]


def test_the_theme_changes_and_stays(queues: Page) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    press(queues, "t t")
    expect(queues.locator("#theme")).to_have_text("Theme: dark")
    dark = queues.evaluate(back)
    queues.reload()
    assert queues.evaluate(back) == dark
    press(queues, "t t")
    assert queues.evaluate(back) != dark


def test_keys_do_nothing_while_typing_or_with_modifiers(queues: Page) -> None:
    field = queues.locator("main input[name=q]")
    field.focus()
    press(queues, "t ? r g o")
    assert field.input_value() == "t?rgo"
    queues.locator("main select").focus()
    press(queues, "t")
    queues.evaluate("document.activeElement.blur()")
    press(queues, "Control+? Alt+t Meta+t")
    expect(queues.locator("#theme")).to_have_text("Theme: system")
    expect(queues.locator("#help")).to_be_hidden()
    expect(queues.locator("#live")).to_have_attribute("aria-pressed", "true")


def test_keys_can_be_switched_off_and_on_again(queues: Page) -> None:
    press(queues, "?")
    queues.locator("#keys-on").focus()
    press(queues, "Space Escape t ?")
    expect(queues.locator("#help")).to_be_hidden()
    expect(queues.locator("#theme")).to_have_text("Theme: system")
    queues.reload()
    press(queues, "t")
    expect(queues.locator("#theme")).to_have_text("Theme: system")
    # The button is the way back.
    queues.locator("#keys").focus()
    press(queues, "Enter")
    assert not queues.locator("#keys-on").is_checked()
    queues.locator("#keys-on").focus()
    press(queues, "Space Escape t")
    expect(queues.locator("#theme")).to_have_text("Theme: light")


def test_times_are_ages_local_or_utc(
    web: WebServer, browser: Browser, redis: redis_py.Redis
) -> None:
    zone = {"timezone_id": "Asia/Tokyo", "locale": "en-GB"}
    with new_context(browser, **zone) as context:
        page = context.new_page()
        page.goto(f"{web.url}/overview")
        shown = page.locator("footer time")
        shown.evaluate(
            "time => { time.dateTime = '2026-03-01T23:30:00Z';"
            " document.dispatchEvent(new Event('htmx:after:swap')); }"
        )
        expect(shown).to_have_text("2 Mar 2026, 08:30:00")
        title = "2 Mar 2026, 08:30:00 \u2013 1 Mar 2026, 23:30:00 UTC"
        expect(shown).to_have_attribute("title", title)
        button = page.locator("#times")
        expect(button).to_have_text("Times: ages")
        page.locator("#live").click()
        shown.evaluate("time => { time.dateTime = '2026-03-01T23:30:00Z'; }")
        button.click()
        expect(button).to_have_text("Times: local")
        expect(shown).to_have_text("2 Mar 2026, 08:30:00")
        button.click()
        expect(shown).to_have_text("1 Mar 2026, 23:30:00 UTC")
        page.reload()
        expect(button).to_have_text("Times: UTC")
        expect(shown).to_contain_text(" UTC")
        button.click()
        expect(shown).to_have_text(re.compile("now|ago"))
