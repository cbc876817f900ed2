"""Compares resqued with other libraries: `python bench/run.py`, or `make bench`.

The other libraries are measured in an environment of their own, `.venv-bench`, and
resqued in one without the tools of its development, `.venv-bench-project`. The first
run creates both. A whole run takes half an hour on two cores, and leaves only its page
behind.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import heap
import history
import machine
import process
import reload
import report
import rounds
import supervision
from environment import ROOT, peers_python, project_python
from errors import BenchError
from measure import FULL, QUICK
from peers import PARTS, PEERS, Peer
from rich.console import Console
from rig import Rig
from server import Server, open_server
from tables import tables

DEFAULT_PAGE = ROOT / "docs" / "benchmarks.md"

WIDE = 120

# The exit status of a failure, as in the rest of the project.
FAILED = 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--redis", metavar="URL", help="use this server, whose database must be empty"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small counts: about a minute"
    )
    parser.add_argument(
        "--heap", action="store_true", help="measure with a 500 MB heap too"
    )
    keys = [peer.key for peer in PEERS]
    parser.add_argument(
        "--only", type=_names(keys), help=f"names with commas, of {', '.join(keys)}"
    )
    more = [heap.PART, supervision.PART, reload.PART]
    usual = [*PARTS, history.PART]
    parts = [*usual, *more]
    parser.add_argument(
        "--parts",
        type=_names(parts),
        default=usual,
        help=f"names with commas, of {', '.join(parts)};"
        f" the default is all but {', '.join(more)}",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the page to write; the default is docs/benchmarks.md for a whole run,"
        " and no page otherwise",
    )
    options = parser.parse_args(arguments)
    whole = not (options.quick or options.only or options.parts != usual)
    if options.out is None and whole:
        options.out = DEFAULT_PAGE
    return options


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a type of argument: some of the known names, separated by commas."""

    def split(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is unknown: choose from {', '.join(known)}"
                )
        return names

    return split


def print_error(console: Console, message: str) -> None:
    """Print an error in red, without changing its lines."""
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)


def choose(only: Sequence[str] | None, console: Console) -> list[Peer]:
    """Return the libraries to measure, those in `only` or all, that are available.

    Raises BenchError if there is none.
    """
    chosen = []
    for peer in PEERS:
        if only and peer.key not in only:
            continue
        if problem := peer.problem():
            print_error(console, f"{peer.title} is left out: {problem}")
        else:
            chosen.append(peer)
    if not chosen:
        raise BenchError("none of the libraries can be measured")
    return chosen


def measure_all(
    options: argparse.Namespace, server: Server, scratch: Path, console: Console
) -> bool:
    """Make the chosen measurements, print the tables and write the page.

    Returns False if a measurement failed; then no page is written.
    """
    peers = choose(options.only, console)
    effort = QUICK if options.quick else FULL
    facts = machine.describe(server)

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False)

    needs_peers = not all(peer.in_project for peer in peers)
    theirs = peers_python(say) if needs_peers else None
    # A quick run only shows that the measurements work.
    ours = sys.executable if options.quick else project_python(say)
    rig = Rig(server, theirs, scratch, ours)
    results = rounds.run(rig, peers, options.parts, effort, say)
    made = tables(results, peers, effort)
    if history.PART in options.parts:
        made += history.tables(rig, peers, effort, results.failures, say)
    if options.heap or heap.PART in options.parts:
        made.append(heap.table(rig, peers, effort, results.failures, say))
    if supervision.PART in options.parts:
        made += supervision.tables(rig, peers, effort, results.failures, say)
    if reload.PART in options.parts:
        made += reload.tables(rig, peers, effort, results.failures, say)
    # A file or a pipe has no width at which to wrap a table.
    tables_console = Console(width=None if sys.stdout.isatty() else WIDE)
    for table in filter(lambda table: table.rows, made):
        report.show(tables_console, table)
    for failure in results.failures:
        print_error(console, failure)
    if options.out and not results.failures:
        before = options.out.read_text() if options.out.exists() else ""
        options.out.write_text(report.page(facts, made) + report.web_section(before))
        console.print(f"written: {options.out.name}")
    return not results.failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and return the exit status.

    No process and no temporary file is left behind, even after Ctrl-C.
    """
    options = parse(arguments)
    console = Console(stderr=True)
    process.adopt_orphans()
    process.end_on_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="resqued-bench-") as folder:
            scratch = Path(folder)
            try:
                with open_server(options.redis, scratch) as server:
                    went_well = measure_all(options, server, scratch, console)
            finally:
                process.end_all()
        return 0 if went_well else FAILED
    except BenchError as error:
        print_error(console, str(error))
        return FAILED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
