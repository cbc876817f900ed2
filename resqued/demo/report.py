"""The demo's report: as a value, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resqued.demo.demo_jobs import MEANT_TO_FAIL

_TO_KEEP = "to keep them, name an existing empty folder as --out"


class Row(Struct, frozen=True):
    """The numbers of the jobs of one class on one queue."""

    queue: str
    job: str
    enqueued: int
    done: int
    failed: int


class FailedJob(Struct, frozen=True):
    """A failed job, and why it failed."""

    queue: str
    job: str
    exception: str
    error: str

    @property
    def is_meant(self) -> bool:
        """True if the job was meant to fail, and failed in the intended way."""
        reason = MEANT_TO_FAIL.get(self.job)
        return reason is not None and reason in f"{self.exception} {self.error}"

    def __str__(self) -> str:
        """Return the failure as one line."""
        error = " ".join(self.error.split())
        return f"{self.job} on {self.queue}: {self.exception}: {error}"


class Check(Struct, frozen=True):
    """A claim that must hold, and the problems that were found."""

    claim: str
    problems: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """True if there are no problems."""
        return not self.problems


class DemoReport(Struct):
    """The result of one run.

    `seconds` is the time from the first job enqueued to the last one recorded;
    `left_out` are the files that could not be archived, with reasons; `is_kept` is
    False if the folder was removed.
    """

    source: Path
    folder: Path
    workers: int
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    failures: list[FailedJob] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    archives: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    is_kept: bool = True

    @property
    def is_good(self) -> bool:
        """True if every check holds."""
        return all(check.holds for check in self.checks)

    @property
    def processed(self) -> int:
        """The number of jobs that have run, including those that failed."""
        return sum(row.done + row.failed for row in self.rows)

    @property
    def rate(self) -> float:
        """Jobs per second, from the first enqueued to the last recorded."""
        return self.processed / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the object that --json prints."""
        return {
            "ok": self.is_good,
            "source": str(self.source),
            "folder": str(self.folder) if self.is_kept else None,
            "workers": self.workers,
            "seconds": round(self.seconds, 3),
            "jobs_per_second": round(self.rate, 2),
            "archives": self.archives,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "jobs": [asdict(row) for row in self.rows],
            "failures": [
                {**asdict(failed), "meant_to_fail": failed.is_meant}
                for failed in self.failures
            ],
            "checks": [
                {
                    "claim": check.claim,
                    "holds": check.holds,
                    "problems": list(check.problems),
                }
                for check in self.checks
            ],
            "left_out": self.left_out,
        }


def show(report: DemoReport, console: Console) -> None:
    """Print the report as text."""
    console.print(_table(report))
    _line(
        console,
        f"{report.processed} jobs in {report.seconds:.1f} s by {report.workers}"
        f" workers: {report.rate:.1f} jobs per second.",
    )
    _line(console, "\nFailures:" if report.failures else "\nFailures: none.")
    for failed in report.failures:
        _line(console, f"  {failed}", "" if failed.is_meant else "red")
    if report.left_out:
        _line(console, "\nLeft out:")
        for reason in report.left_out:
            _line(console, f"  {reason}")
    _line(console, "\nChecks:")
    for check in report.checks:
        mark, style = ("ok", "green") if check.holds else ("NO", "bold red")
        _line(console, f"  {mark}  {check.claim}", style)
        for problem in check.problems:
            _line(console, f"        {problem}", "red")
    place = f"in {report.folder}" if report.is_kept else f"not kept ({_TO_KEEP})"
    _line(
        console,
        f"\n{report.archives} archives, {megabytes(report.bytes_written)}"
        f" of {megabytes(report.bytes_read)}, {place}",
    )


def _table(report: DemoReport) -> Table:
    table = Table(show_footer=True)
    table.add_column("queue", "all")
    table.add_column("job")
    for title in ("enqueued", "done", "failed"):
        total = sum(getattr(row, title) for row in report.rows)
        table.add_column(title, str(total), justify="right")
    for row in report.rows:
        figures = (str(n) for n in (row.enqueued, row.done, row.failed))
        table.add_row(Text(row.queue), Text(row.job), *figures)
    return table


def _line(console: Console, text: str, style: str = "") -> None:
    # Without markup, since names may hold brackets, and without line breaks.
    console.print(Text(text, style), soft_wrap=True)


def megabytes(size: int) -> str:
    """Return a number of bytes as text: 213.4 MB (millions of bytes)."""
    return f"{size / 1e6:.1f} MB"
