"""How many requests this process has answered, by status."""

from __future__ import annotations

import threading
from collections import Counter


class RequestCounts:
    """Counts the answers of this process by status; safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self._counts[f"{status // 100}xx"] += 1

    def read(self) -> dict[str, int]:
        """Return the number of answers by kind, such as 2xx."""
        with self._lock:
            return dict(self._counts)
