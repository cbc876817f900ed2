"""Pictures of every page, for a look; two of them are for the README.

    python -m tests.support.screenshots [PAGE ...]

Each page is taken in both themes, wide and narrow, into build/screenshots/. A PAGE is
an endpoint, as in queues.show; without one, all pages are taken, and docs/images/ is
written as well.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import redis as redis_py
from playwright.sync_api import Browser

from resqued.config.web_settings import WebSettings
from resqued.system.redis_server import EmbeddedServer
from resqued.web.app import create_app
from tests.support import web_sample
from tests.support.browsing import THEMES, new_context, running_browser
from tests.support.small_png import shrink
from tests.support.web_server import WebServer
from tests.support.web_tour import VARIANTS, tour

ROOT = Path(__file__).parents[2]
PLACE = ROOT / "build" / "screenshots"
WIDTHS = (1280, 360)
# Of the README: the page, the name of the picture, and its height in pixels.
SMALL = (
    ("overview.show", "overview", 560),
    ("failed.show_all", "failed", 560),
)
_SMALL_WIDTH = 1000
MOST_BYTES = 60_000


def main(wanted: Sequence[str]) -> None:
    """Take the pictures, and say where they are."""
    with tempfile.TemporaryDirectory(prefix="resqued-pictures-") as name:
        place = Path(name)
        with EmbeddedServer.start(place, options={"requirepass": ""}) as server:
            with redis_py.Redis.from_url(server.url) as client:
                web_sample.fill(client)
            urls = tour(create_app(WebSettings(url=server.url)))
            pages = {**urls, **VARIANTS}
            web = WebServer(server.url, place, config=web_sample.CONFIG)
            with web, running_browser() as browser:
                chosen = {each: pages[each] for each in wanted or pages}
                # First, while the sample is new.
                if not wanted:
                    _take_small(browser, web, urls)
                _take_all(browser, web, chosen)


def _take_all(browser: Browser, web: WebServer, pages: Mapping[str, str]) -> None:
    PLACE.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        for width in WIDTHS:
            with new_context(browser, color_scheme=theme, width=width) as context:
                page = context.new_page()
                for name, url in pages.items():
                    page.goto(web.url + url)
                    file = PLACE / f"{name.replace(' ', '-')}-{theme}-{width}.png"
                    page.screenshot(path=file, full_page=True)
    print(f"{len(pages)} pages: {PLACE}")


def _take_small(browser: Browser, web: WebServer, urls: Mapping[str, str]) -> None:
    place = ROOT / "docs" / "images"
    place.mkdir(exist_ok=True)
    for endpoint, name, height in SMALL:
        if endpoint not in urls:
            continue
        with new_context(browser, width=_SMALL_WIDTH) as context:
            page = context.new_page()
            page.goto(web.url + urls[endpoint])
            file = place / f"{name}.png"
            clip = {"x": 0, "y": 0, "width": _SMALL_WIDTH, "height": height}
            file.write_bytes(shrink(page.screenshot(clip=clip)))
        size = file.stat().st_size
        print(f"{file.relative_to(ROOT)}: {size} bytes")
        if size > MOST_BYTES:
            raise SystemExit(f"{file} has more than {MOST_BYTES} bytes: make it lower")


if __name__ == "__main__":
    main(sys.argv[1:])
