"""The names of the parameters of jobs, as masters have published them.

Pages show arguments by these names, and `[web] redact` hides some by them.
"""

from __future__ import annotations

import json
import threading
import time

from resqued.store.connection import Link
from resqued.store.store_errors import RefusedError
from resqued.wire.keys import Keys

# How long names count, in seconds, and of how many classes they are kept.
_KEPT_FOR, _MOST = 30.0, 1_000
_MOST_NAMES = 100


class ParameterNames:
    """Reads and keeps the names of parameters; safe to use from several threads."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._key = keys.declared_jobs
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, tuple[str, ...] | None]] = {}

    def of(self, class_name: str) -> tuple[str, ...] | None:
        """Return the names of a class; none if nobody has published them.

        None if Redis does not let this program read them. Raises StoreError if it does
        not answer.
        """
        now = time.monotonic()
        with self._lock:
            at, names = self._kept.get(class_name, (float("-inf"), ()))
        if now - at < _KEPT_FOR:
            return names
        names = self._read(class_name)
        with self._lock:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[class_name] = now, names
        return names

    def _read(self, class_name: str) -> tuple[str, ...] | None:
        try:
            # As bytes, because JSON can name half a character.
            name = class_name.encode("utf-8", "surrogatepass")
            found = self._link.call("HGET", self._key, name)
        except RefusedError:
            return None
        except UnicodeEncodeError:
            return ()
        try:
            value = json.loads(found or b"{}")
            names = value["parameters"]
        except (ValueError, RecursionError, LookupError, TypeError):
            return ()
        is_list = isinstance(names, list)
        return tuple(map(str, names[:_MOST_NAMES])) if is_list else ()
