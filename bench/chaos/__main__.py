"""`python -m bench.chaos`: try the faults, print the table, exit 0 if all was well."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence

from bench.chaos.fault import Fault, Result, attempt
from bench.chaos.faults import FAULTS

# How often a fault is tried with --quick.
QUICK = 1
FAILED = 1
INTERRUPTED = 130
COLUMNS = (
    "fault",
    "times",
    "jobs",
    "failed",
    "lost",
    "twice",
    "registry true",
    "all well",
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.chaos",
        description="Try faults on a running pool, and count its jobs.",
    )
    parser.add_argument("--times", type=_count, help="how often each fault is tried")
    parser.add_argument(
        "--quick", action="store_true", help="try each fault once: about two minutes"
    )
    names = ", ".join(fault.name for fault in FAULTS)
    parser.add_argument(
        "--only", type=_names, default=FAULTS, help=f"names with commas, of {names}"
    )
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of times: give 1 or more"
        )
    return int(text)


def _names(text: str) -> list[Fault]:
    known = {fault.name: fault for fault in FAULTS}
    for name in text.split(","):
        if name not in known:
            raise argparse.ArgumentTypeError(
                f"{name!r} is not a fault: choose from {', '.join(known)}"
            )
    return [known[name] for name in text.split(",")]


def times_of(fault: Fault, *, times: int | None, quick: bool) -> int:
    """Return how often to try a fault: `times`, or its default, or once if `quick`."""
    return times or (min(QUICK, fault.times) if quick else fault.times)


def run(
    faults: Sequence[Fault],
    say: Callable[[str], None],
    *,
    times: int | None = None,
    quick: bool = False,
) -> list[Result]:
    """Try faults one after another; call `say` with the result of each."""
    results = []
    for fault in faults:
        began = time.monotonic()
        result = attempt(fault, times_of(fault, times=times, quick=quick))
        results.append(result)
        say(" ".join(_row(result)) + f" ({time.monotonic() - began:.0f} s)")
        for problem in (*result.problems, *filter(None, [result.skipped])):
            say(f"  {problem}")
    return results


def table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table with aligned columns."""
    rows = [COLUMNS, *(_row(result) for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = [
        " | ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "|".join(
        "-" * (width + 2) if i == 0 else "-" * (width + 1) + ":"
        for i, width in enumerate(widths)
    )
    head, *body = (f"| {line} |" for line in lines)
    return "\n".join([head, f"|{rule}|", *body])


def _row(result: Result) -> tuple[str, ...]:
    books, slowest = result.books, result.slowest
    if books is None:
        return (result.fault.name, "0", *["-"] * (len(COLUMNS) - 2))
    return (
        result.fault.name,
        str(result.tried),
        f"{books.at_stake:,}",
        f"{books.entries:,}",
        str(len(books.lost())),
        str(len(books.doubled())),
        f"{slowest.registry:.2f} s",
        f"{slowest.pool:.2f} s",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the chosen faults, print the table, and return the exit status.

    No process and no file is left behind, even after Ctrl-C.
    """
    options = parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        results = run(
            options.only,
            lambda text: print(text, file=sys.stderr, flush=True),
            times=options.times,
            quick=options.quick,
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    print(table(results))
    return FAILED if any(result.problems for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
