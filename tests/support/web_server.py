"""`resqued web` as a process, for tests in a browser and for pictures."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Self

from tests.support.cli import RESQUED
from tests.support.daemon import clean_environment
from tests.support.wait import scaled

_ANNOUNCED = "resqued web: http://"


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
