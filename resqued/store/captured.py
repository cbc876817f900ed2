"""What a back end has kept of an exception, until its failure is delivered."""

from __future__ import annotations

import hashlib
import json

from resqued.store.connection import Link
from resqued.store.failure_entry import Failure
from resqued.wire.keys import Keys

# Longer than most outages of a service, in seconds.
_KEPT = 86400
# In characters; what is longer is left out.
_LONGEST = 1 << 18


def digest_of(worker: str, payload: object) -> str:
    """Return the name of a failure that child and deliverer both know.

    A worker runs one job at a time, so worker and decoded payload are enough. If both
    fail twice before the first failure is delivered, the last exception counts.
    """
    text = json.dumps([worker, payload], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Captured:
    """What was kept, by back end and failure. Methods raise StoreError."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys

    def keep(self, backend: str, digest: str, text: str) -> None:
        """Keep a text for a day; one that is too long is left out."""
        if len(text) <= _LONGEST:
            key = self._keys.captured(f"{backend}:{digest}")
            self._link.call("SET", key, text, "EX", _KEPT)

    def find(self, backend: str, failure: Failure) -> str:
        """Return what was kept for a failure; "" if there is nothing."""
        digest = digest_of(failure.worker, failure.fields.get("payload"))
        key = self._keys.captured(f"{backend}:{digest}")
        (found,) = self._link.read_each([("GET", key)])
        return (found or b"").decode("utf-8", "replace")
