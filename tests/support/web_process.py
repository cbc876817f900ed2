"""`resqued web` as a process of its own, to which forms can be sent."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tests.support.cli import RESQUED
from tests.support.daemon import clean_environment
from tests.support.pages import SAME_ORIGIN, text_of


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True, slots=True)
class WebProcess:
    """A process that serves pages."""

    process: subprocess.Popen[str]
    url: str

    def html(self, path: str) -> str:
        """Return a page."""
        with build_opener().open(self.url + path, timeout=20) as answer:
            return str(answer.read().decode())

    def text(self, path: str) -> str:
        """Return the text of a page."""
        return text_of(self.html(path))

    def post(self, path: str, **form: str) -> str:
        """Send a form; return the path of the page that follows it."""
        request = Request(
            self.url + path, urlencode(form).encode(), headers=SAME_ORIGIN
        )
        try:
            build_opener(_Stay).open(request, timeout=20)
        except HTTPError as answer:
            if answer.code != HTTPStatus.SEE_OTHER:
                raise
            return str(answer.headers["Location"]).removeprefix(self.url)
        raise AssertionError("the form was not answered by another page")

    def kill(self) -> None:
        """End the process at once."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def web_process(redis_url: str) -> Iterator[WebProcess]:
    """Serve pages until the end of the block."""
    command = [*RESQUED, "web", "--listen", "127.0.0.1:0", "--redis", redis_url]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=clean_environment() | {"PYTHONUNBUFFERED": "1"},
        cwd=os.environ.get("TMPDIR", "/tmp"),
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        yield WebProcess(process, line.partition(": ")[2].strip().rstrip("/"))
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def hidden_fields(html: str) -> dict[str, str]:
    """Return the hidden fields of the forms of a page."""
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html)
    return {name: unescape(value) for name, value in found}
