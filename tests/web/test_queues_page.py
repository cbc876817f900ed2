"""The pages of queues."""

from __future__ import annotations

import pytest

import resqued
from tests.support.pages import Pages


def test_an_empty_namespace_says_how_to_begin(pages: Pages) -> None:
    assert "resqued enqueue" in pages.text("/overview")


def test_queues_are_listed_with_their_lengths(
    pages: Pages, client: resqued.Client
) -> None:
    client.enqueue_to("critical", "Archive", 1)
    client.enqueue_to("critical", "Archive", 2)
    assert "critical 2" in pages.text("/queues")
    assert "Archive" in pages.text("/queues/critical")


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".", "-", "a b", "ü", "/", "a\nb", "%2f"]
)
def test_every_name_of_a_queue_has_a_page(
    pages: Pages, client: resqued.Client, name: str
) -> None:
    client.enqueue_to(name, "Archive", 1)
    link = pages.get("/queues").text.split('class="name" href="')[1].split('"')[0]
    assert "Archive" in pages.text(link.replace("&amp;", "&"))
