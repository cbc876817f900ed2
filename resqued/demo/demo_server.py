"""The Redis of one run: an embedded server, or an empty namespace of another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resqued.demo import NAMESPACE, DemoError
from resqued.store.connection import Link, redact
from resqued.system.redis_server import EmbeddedServer

# Kept there by the demo that has the namespace to itself.
_CLAIM = f"{NAMESPACE}:demo"
_SCAN_COUNT = "1000"


@contextmanager
def embedded(directory: Path) -> Iterator[str]:
    """Run a server of our own on a free port, and give its URL."""
    with EmbeddedServer.start(directory) as server:
        yield server.url


@contextmanager
def borrowed(url: str) -> Iterator[str]:
    """Use the demo's namespace of a server, which must be empty, and empty it again.

    Raises DemoError if there is anything in it.
    """
    link = Link(url)
    if any(_keys(link)) or not link.call("SET", _CLAIM, os.getpid(), "NX"):
        raise DemoError(
            f"namespace {NAMESPACE} of {redact(url)} is not empty: another demo runs"
            " there, or one was killed; delete its keys, or name another database"
        )
    try:
        yield url
    finally:
        for keys in _keys(link):
            link.call("UNLINK", *keys)
        link.close()


def _keys(link: Link) -> Iterator[list[bytes]]:
    """Yield the keys of the namespace, a page at a time, no page empty."""
    cursor = b"0"
    while True:
        cursor, keys = link.call(
            "SCAN", cursor, "MATCH", f"{NAMESPACE}:*", "COUNT", _SCAN_COUNT
        )
        if keys:
            yield keys
        if int(cursor) == 0:
            return
