"""The reader of plain HTML accepts nothing that could be read in two ways."""

from __future__ import annotations

import pytest

from tests.support.plain_html import elements


def test_elements_and_attributes_are_read() -> None:
    html = """<!doctype html><p class="a&lt;b" hidden>x &amp; y<br>
    <svg viewBox='0 0 1 1'><path d="M0"/></svg></p>"""
    assert list(elements(html)) == [
        ("p", {"class": "a<b", "hidden": ""}),
        ("br", {}),
        ("svg", {"viewBox": "0 0 1 1"}),
        ("path", {"d": "M0"}),
    ]


@pytest.mark.parametrize(
    "html",
    [
        "<p>a < b</p>",
        "<p>a > b</p>",
        "<p>a & b</p>",
        "<p>",
        "</p>",
        "<p><b></p></b>",
        "<p/>",
        "<p class=a></p>",
        '<p class="a>b"></p>',
        '<p class="a"b"></p>',
        "<p class='a'onclick='b'></p>",
        "<!-- a -->",
        "<P></p>",
        "<p <b></p>",
    ],
)
def test_what_is_not_plain_is_refused(html: str) -> None:
    with pytest.raises(ValueError, match=r"no plain HTML|close"):
        list(elements(html))
