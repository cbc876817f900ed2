"""Jobs that are not on their queue: delayed, to be tried again, or set aside."""

from __future__ import annotations

from collections.abc import Iterator

from resqued.core.plural import pluralize
from resqued.diagnostics.facts import Facts, Observation

# Of an error in a line, in characters.
_SHOWN = 200


def explain_waiting(facts: Facts) -> Iterator[Observation]:
    """Yield findings about jobs of the queue, or class, that are elsewhere."""
    found = facts.waiting
    what = f"of {facts.class_name} " if facts.class_name else ""
    is_missing = facts.search is not None and facts.search.ahead is None
    is_cause = not facts.size or is_missing
    if found.quarantined:
        yield Observation(
            "quarantined",
            f"{pluralize(found.quarantined, 'job')} {what}of queue {facts.queue}"
            f" quarantined since {found.quarantined_since}: {_clip(found.death)}",
            "`resqued quarantine` lists them, `resqued quarantine release ID` puts one"
            " back",
            is_cause=is_cause,
        )
    if found.retries:
        error = f" after {_clip(found.retry_error)}" if found.retry_error else ""
        yield Observation(
            "retried",
            f"{pluralize(found.retries, 'job')} {what}for queue {facts.queue} wait for"
            f" another attempt, the next one at {found.retry_at}{error}",
            "`resqued retries` lists them, `resqued retries run ID` runs one now",
            is_cause=is_cause,
        )
    if found.delayed:
        yield Observation(
            "delayed",
            f"{pluralize(found.delayed, 'job')} {what}for queue {facts.queue} delayed"
            f" until {found.delayed_until}"
            + (" and later" if found.delayed > 1 else ""),
            "`resqued delayed` lists them, `resqued delayed run ID` runs one now",
            is_cause=is_cause,
        )


def _clip(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
