"""Debian's Chromium, and what a test wants to know of a page in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.needs import missing
from tests.support.wait import scaled, wait_until

# The last is what 1280 px are at a zoom of 400 % (WCAG 2.2, 1.4.10).
WIDTHS = (1280, 768, 320)
THEMES = ("light", "dark")
_HEIGHT = 900
# How long a test waits for a page or an element, in milliseconds.
PATIENCE = scaled(60) * 1_000

# Collects what the browser refuses for want of a permission in the policy of the page.
_LISTEN = """
window.violations = [];
addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(event.violatedDirective + " " + event.blockedURI);
});
"""
# What is wider than its place and is no text of a program.
_TOO_WIDE = """() => {
  const page = document.documentElement, found = [];
  if (page.scrollWidth > page.clientWidth) {
    found.push("the page: " + page.scrollWidth + " > " + page.clientWidth);
  }
  for (const each of document.querySelectorAll("body *")) {
    const box = each.getBoundingClientRect();
    const isRight = box.width && box.right > page.clientWidth + 1;
    if (each.closest("pre, svg, thead") || each.matches(".skip")) continue;
    // The text of a field may be longer than the field.
    const isField = each.matches("input, textarea, select");
    const isFull = !isField && each.clientWidth && each.scrollWidth > each.clientWidth;
    if (isFull || isRight) {
      found.push(each.outerHTML.slice(0, 120));
    }
  }
  return found;
}"""


def chromium() -> Path:
    """Return the program; skip the test if it is not here, and fail it in CI.

    The same browser built without windows takes half of the processor time.
    """
    program = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if program is None:
        missing("chromium is not in PATH: apt-get install chromium-headless-shell")
    return Path(program)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Yield a browser without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium(),
            # Without a user namespace, as for root, there is no sandbox; /dev/shm may
            # be small in a container.
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-lcd-text"],
        )
        try:
            yield started
        finally:
            started.close()


@contextmanager
def new_context(browser: Browser, **options: Any) -> Iterator[BrowserContext]:
    """Yield a context: cookies, storage and a theme of its own."""
    size = {"width": options.pop("width", WIDTHS[0]), "height": _HEIGHT}
    context = browser.new_context(viewport=size, **options)
    context.set_default_timeout(PATIENCE)
    context.add_init_script(_LISTEN)
    try:
        yield context
    finally:
        context.close()


@dataclass
class Watched:
    """A tab, and what has gone wrong in it."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page, add = self.page, self.faults.append
        page.on("console", lambda said: self._said(said.type, said.text))
        page.on("pageerror", lambda error: add(str(error)))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _said(self, kind: str, text: str) -> None:
        # Only a busy machine has a part wait so long, and the page says so.
        if kind == "error" and "htmx:error: timeout" not in text:
            self.faults.append(text)

    def _failed(self, request: Any) -> None:
        # A live part that was asked for when the tab was closed.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"{request.url}: {request.failure}")

    def _answered(self, answer: Any) -> None:
        if answer.status >= 400 and answer.request.resource_type != "document":
            self.faults.append(f"{answer.url}: {answer.status}")

    def violations(self) -> list[str]:
        """Return what the Content-Security-Policy of the page has refused."""
        found: list[str] = self.page.evaluate("window.violations")
        return found

    def too_wide(self) -> list[str]:
        """Return what scrolls sideways, or would, besides texts of programs.

        Charts follow the width of the screen, so what is too wide has a moment.
        """
        with suppress(AssertionError):
            wait_until(lambda: not self.page.evaluate(_TOO_WIDE), deadline=5)
        found: list[str] = self.page.evaluate(_TOO_WIDE)
        return found

    def resize(self, width: int) -> None:
        """Make the tab as wide as a screen."""
        self.page.set_viewport_size({"width": width, "height": _HEIGHT})
