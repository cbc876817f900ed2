"""The web front end in this process: pages by path, as a user with a role sees them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Any

import html5lib
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

# That of the users whom tests add.
PASSWORD = "correct horse"
# What a browser sends with a form of our own pages.
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True, slots=True)
class Pages:
    """Fetches pages of one application, through its guard."""

    client: FlaskClient

    def get(self, path: str, status: int = 200, **options: Any) -> TestResponse:
        """Return the answer to a GET, which must have the status."""
        found = self.client.get(path, **options)
        assert found.status_code == status, (path, found.status, found.text[:2_000])
        return found

    def post(self, path: str, status: int = 303, **form: Any) -> TestResponse:
        """Return the answer to a form of our own pages, which must have the status."""
        found = self.client.post(path, data=form, headers=SAME_ORIGIN)
        assert found.status_code == status, (path, found.status, found.text[:2_000])
        return found

    def text(self, path: str) -> str:
        """Return the text that a person reads on a page, with single blanks."""
        return text_of(self.get(path).text)


def text_of(html: str) -> str:
    """Return the text of a page, with single blanks; raise if it is no valid HTML."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    # Where a name may break, a person reads no blank.
    tree = parser.parse(html.replace("<wbr>", ""))
    main = tree.find(".//main")
    words = " ".join((tree if main is None else main).itertext()).split()
    return " ".join(words)


def hidden_fields(html: str) -> dict[str, str]:
    """Return the hidden fields of the forms of a page."""
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html)
    return {name: unescape(value) for name, value in found}


# Makes pages with settings of [web].
Open = Callable[..., Pages]
