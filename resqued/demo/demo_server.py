"""The Redis of one run: an embedded server, or the demo's namespace on another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resqued.demo import NAMESPACE, DemoError
from resqued.store.connection import Link
from resqued.store.server_url import redact
from resqued.system.redis_server import EmbeddedServer

# The key by which one demo reserves the namespace.
_CLAIM = f"{NAMESPACE}:demo"
_SCAN_COUNT = "1000"


@contextmanager
def embedded(directory: Path) -> Iterator[str]:
    """Run an embedded server on a free port and yield its URL.

    Raises EmbeddedServerError if it does not start.
    """
    with EmbeddedServer.start(directory) as server:
        yield server.url


@contextmanager
def borrowed(url: str) -> Iterator[str]:
    """Reserve the demo's namespace of a server, yield its URL, and delete its keys.

    Raises DemoError if the namespace is not empty, and StoreError if Redis fails.
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
    """Yield the keys of the namespace in pages that are not empty."""
    cursor = b"0"
    while True:
        cursor, keys = link.call(
            "SCAN", cursor, "MATCH", f"{NAMESPACE}:*", "COUNT", _SCAN_COUNT
        )
        if keys:
            yield keys
        if int(cursor) == 0:
            return
