"""`resqued web` as a process: for a browser, for pictures, and to be killed."""

from __future__ import annotations

import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tests.support.cli import RESQUED
from tests.support.daemon import clean_environment
from tests.support.pages import SAME_ORIGIN
from tests.support.wait import scaled

_ANNOUNCED = "resqued web: http://"


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


class WebServer:
    """Serves the pages of a server; enter it to start, and leave it to end it."""

    def __init__(self, redis_url: str, place: Path, config: str = "") -> None:
        self._place = place
        self._config = place / "resqued.toml"
        self._config.write_text(f'[redis]\nurl = "{redis_url}"\n{config}')
        self._listen = "127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where the pages are, without a slash at the end."""
        return f"http://{self._listen}"

    def start(self) -> None:
        """Start it; again at the address that it had, if it was started before."""
        command = [*RESQUED, "web", "--config", str(self._config)]
        with (self._place / "web.log").open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--listen", self._listen],
                env=clean_environment(),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line.startswith(_ANNOUNCED):
            raise AssertionError(f"{line}\n{(self._place / 'web.log').read_text()}")
        self._listen = line.removeprefix(_ANNOUNCED).rstrip("/")

    def html(self, path: str) -> str:
        """Return a page."""
        with build_opener().open(self.url + path, timeout=20) as answer:
            return str(answer.read().decode())

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
        """Kill it, and wait for its end."""
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            with self._process as process:
                process.terminate()
                process.wait(scaled(20))
            self._process = None
