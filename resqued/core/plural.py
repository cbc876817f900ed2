"""Counts and lists in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun, in the singular or the plural."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def join_names(names: Sequence[str], most: int = 5) -> str:
    """Return the first of some names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
