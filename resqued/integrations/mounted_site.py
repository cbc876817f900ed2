"""The pages inside an application, which decides who the user is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from werkzeug.test import run_wsgi_app

from resqued.config.web_settings import WebSettings
from resqued.web.app import Application, create_app, read_settings
from resqued.web.identity import HOST_AUTH, HOST_USER

# In bytes, as of an application of its own.
LONGEST_BODY = 1 << 20
# Name and role of the user; None if nobody is logged in.
Person = tuple[str, str] | None


class PageAnswer(Struct, frozen=True):
    """The answer of a page: status, headers in their order, body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class MountedSite:
    """The pages below a path of an application.

    Without `settings`, the environment and the configuration file count, as for
    `resqued web`; its `auth`, `hosts` and `prefix` do not.
    """

    settings: WebSettings | None = None
    _app: Application = field(init=False, repr=False)

    def __post_init__(self) -> None:
        own = replace(self.settings or read_settings(), auth=HOST_AUTH, prefix="")
        object.__setattr__(self, "_app", create_app(own))

    def answer(
        self,
        environ: dict[str, Any],
        prefix: str,
        path: str,
        person: Person,
        body: bytes,
    ) -> PageAnswer:
        """Return the answer to the request in a WSGI environment.

        `prefix` is the path of the pages with that of the application, `path` the rest,
        both as in WSGI (PEP 3333). `body` is what was sent, which the application may
        have read before.
        """
        inner = dict(environ)
        inner["SCRIPT_NAME"], inner["PATH_INFO"] = prefix.rstrip("/"), path
        # The application knows the path; the header has only that of the application.
        inner.pop("HTTP_X_FORWARDED_PREFIX", None)
        inner[HOST_USER] = person
        inner["wsgi.input"], inner["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
        parts, status, headers = run_wsgi_app(self._app, inner, buffered=True)
        return PageAnswer(int(status.split()[0]), list(headers), b"".join(parts))


PersonOf = Callable[..., Person]


def nobody(*_: object) -> Person:
    """Return None: without a function that names the user, all are refused."""
    return None
