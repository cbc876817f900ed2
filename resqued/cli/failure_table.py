"""The table of failures."""

from __future__ import annotations

from collections.abc import Sequence

from resqued.cli.table import Column, room_of, show_table
from resqued.cli.text import clip, duration
from resqued.store.failure_entry import Failure
from resqued.wire import timestamps

COLUMNS = (
    Column("ID", rank=0),
    Column("FAILED", rank=3),
    Column("QUEUE", rank=5, least=8),
    Column("CLASS", least=16, keeps_end=True),
    Column("EXCEPTION", rank=6, least=12, keeps_end=True),
    Column("ERROR", rank=2, least=24),
    Column("RETRIED", rank=4),
)


def show_failures(found: Sequence[Failure], now: float, *, is_wide: bool) -> None:
    """Print failures: with ages on a terminal, and else with times."""
    ages = room_of(is_wide=is_wide) is not None
    rows = [row_of(failure, now if ages else None) for failure in found]
    show_table(COLUMNS, rows, empty="no failures", is_wide=is_wide)


def row_of(failure: Failure, now: float | None) -> tuple[object, ...]:
    """Return a failure as a row of COLUMNS; `now`, in seconds, if ages are wanted."""
    raw = failure.entry.decode("utf-8", "backslashreplace")
    return (
        failure.id,
        clip(_when(failure, "failed_at", now), 40),
        clip(failure.queue, 60),
        clip(failure.class_name, 100),
        clip(failure.exception, 60),
        clip(failure.error if failure.fields else raw, 100),
        clip(_when(failure, "retried_at", now), 40),
    )


def _when(failure: Failure, name: str, now: float | None) -> str:
    """Return how long ago a time is; or the text, if its zone is not known here."""
    text = str(failure.fields.get(name) or "")
    at = timestamps.read(text)
    return (
        text if now is None or at is None else f"{duration(now - at.timestamp())} ago"
    )
