"""The findings of `resqued doctor`.

checkup gathers facts; server_checks, app_checks and host_checks judge one part each.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Verdict(Enum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNCHECKED = "not checked"


class Finding(Struct, frozen=True):
    """One line: the check, its result as verdict and text, and the remedy."""

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """Return a finding without a fault."""
    return Finding(check, Verdict.OK, text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """Return a finding about a part that works, but with a disadvantage or a risk."""
    return Finding(check, Verdict.WARNING, text, remedy)


def problem(check: str, text: str, remedy: str) -> Finding:
    """Return a finding about a fault that prevents operation, or loses jobs."""
    return Finding(check, Verdict.PROBLEM, text, remedy)


def unchecked(check: str, reason: str) -> Finding:
    """Return the finding that a check could not be made, with the reason."""
    return Finding(check, Verdict.UNCHECKED, reason)
