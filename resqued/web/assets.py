"""The files of ours that browsers load; each has a digest in its URL."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from flask import Response, url_for
from msgspec import Struct

_STATIC = Path(__file__).parent / "static"
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Asset(Struct, frozen=True):
    """A file that browsers load, and the digest of what it contains."""

    path: Path
    digest: str
    kind: str


@cache
def assets() -> Mapping[str, Asset]:
    """Return the files by their names; nothing else on the disk is ever served."""
    return {
        str(path.relative_to(_STATIC)): Asset(
            path,
            hashlib.sha256(path.read_bytes()).hexdigest()[:12],
            _KINDS[path.suffix],
        )
        for path in sorted(_STATIC.rglob("*"))
        if path.suffix in _KINDS
    }


def url_of_asset(name: str) -> str:
    """Return the URL of a file; KeyError if there is none of the name."""
    return url_for("static", digest=assets()[name].digest, name=name)


def serve_asset(digest: str, name: str) -> Response:
    """Return a file of ours; its URL changes with it, so it may be kept."""
    asset = assets().get(name)
    if asset is None or asset.digest != digest:
        return Response("no such file\n", 404, mimetype="text/plain")
    response = Response(asset.path.read_bytes(), mimetype=asset.kind)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
