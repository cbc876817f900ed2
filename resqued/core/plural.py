"""Counts and lists of names as parts of sentences."""

from __future__ import annotations

from collections.abc import Sequence


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun: 1 worker, 2 workers."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def join_names(names: Sequence[str], most: int = 5) -> str:
    """Return the first `most` names, and how many more there are: a, b and 3 more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
