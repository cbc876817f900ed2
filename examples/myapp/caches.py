"""Cache warming: pages are made before somebody asks for them.

Every ten minutes `warm_all` enqueues a job for each page, so that several workers share
them, and a page that fails does not stop the others.
"""

from __future__ import annotations

from pathlib import Path

import resqued
from myapp import DATA

PAGES = ("front", "prices", "contact")


def cached(page: str) -> Path:
    """Return where a page is kept."""
    return DATA / "cache" / f"{page}.html"


@resqued.job(queue="caches", timeout="1m")
def warm(page: str) -> None:
    """Make a page, and put it into the cache in one step."""
    path = cached(page)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(f"<h1>{page}</h1>\n")
    unfinished.replace(path)


@resqued.every("10m", overlap=False)
@resqued.job(queue="caches")
def warm_all() -> None:
    """Enqueue a job for each page."""
    resqued.enqueue_many(((page,) for page in PAGES), job=warm)
