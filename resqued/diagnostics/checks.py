"""What `resqued doctor` makes of what it has seen: facts in, findings out.

checkup gathers; server_checks, app_checks and host_checks judge one part each.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNCHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, how it came out, and what to do about it."""

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    """Return that all is well."""
    return Finding(check, Verdict.OK, text)


def warning(check: str, text: str, remedy: str) -> Finding:
    """Return what works, but not as well as it could, or not for long."""
    return Finding(check, Verdict.WARNING, text, remedy)


def problem(check: str, text: str, remedy: str) -> Finding:
    """Return what keeps the whole from working, or loses jobs."""
    return Finding(check, Verdict.PROBLEM, text, remedy)


def unchecked(check: str, reason: str) -> Finding:
    """Return that a check could not be made, and why."""
    return Finding(check, Verdict.UNCHECKED, reason)
