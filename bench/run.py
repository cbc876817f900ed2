"""resqued measured beside other libraries: `python bench/run.py`, or `make bench`.

Runs with the project's own environment; the libraries that resqued is compared with
get one of their own, `.venv-bench`, at the first run. A whole run takes about a
quarter of an hour on two cores, and nothing of it is left behind but its page.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import heap
import machine
import process
import reload
import report
import rounds
import supervision
from environment import ROOT, peers_python
from errors import BenchError
from measure import FULL, QUICK
from peers import PARTS, PEERS, Peer
from rich.console import Console
from rig import Rig
from server import Server, open_server
from tables import tables

DEFAULT_PAGE = ROOT / "docs" / "benchmarks.md"

WIDE = 120

# One for failed, as everywhere in this project.
FAILED = 1


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--redis", metavar="URL", help="measure against this server")
    parser.add_argument("--quick", action="store_true", help="small counts, a minute")
    parser.add_argument("--heap", action="store_true", help="also with a 500 MB heap")
    keys = [peer.key for peer in PEERS]
    parser.add_argument("--only", type=_names(keys), help=f"of {', '.join(keys)}")
    more = [heap.PART, supervision.PART, reload.PART]
    parts = [*PARTS, *more]
    parser.add_argument(
        "--parts",
        type=_names(parts),
        default=list(PARTS),
        help=f"of {', '.join(parts)}; all but {' and '.join(more)} by default",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="the page to write; docs/benchmarks.md for a whole run, none for a part",
    )
    options = parser.parse_args(arguments)
    whole = not (options.quick or options.only or options.parts != list(PARTS))
    if options.out is None and whole:
        options.out = DEFAULT_PAGE
    return options


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Make a type of argument: some of these names, with commas between."""

    def split(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is none of {', '.join(known)}"
                )
        return names

    return split


def tell(console: Console, message: str) -> None:
    """Say what went wrong, in the lines that it has."""
    console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)


def choose(only: Sequence[str] | None, console: Console) -> list[Peer]:
    """Answer the libraries to measure: those asked for that are there."""
    chosen = []
    for peer in PEERS:
        if only and peer.key not in only:
            continue
        if problem := peer.problem():
            tell(console, f"{peer.title} is left out: {problem}")
        else:
            chosen.append(peer)
    if not chosen:
        raise BenchError("nothing is left to measure")
    return chosen


def measure_all(
    options: argparse.Namespace, server: Server, scratch: Path, console: Console
) -> bool:
    """Measure, print and write what was asked for; answer whether all went well."""
    peers = choose(options.only, console)
    effort = QUICK if options.quick else FULL
    around = machine.describe(server)

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False)

    needs_peers = not all(peer.in_project for peer in peers)
    rig = Rig(server, peers_python(say) if needs_peers else None, scratch)
    results = rounds.run(rig, peers, options.parts, effort, say)
    found = tables(results, peers, effort)
    if options.heap or heap.PART in options.parts:
        found.append(heap.table(rig, peers, effort, results.failures, say))
    if supervision.PART in options.parts:
        found += supervision.tables(rig, peers, effort, results.failures, say)
    if reload.PART in options.parts:
        found += reload.tables(rig, peers, effort, results.failures, say)
    # In a file or a pipe there is no edge to wrap a table at.
    tables_console = Console(width=None if sys.stdout.isatty() else WIDE)
    for table in filter(lambda table: table.rows, found):
        report.show(tables_console, table)
    for failure in results.failures:
        tell(console, failure)
    if options.out and not results.failures:
        options.out.write_text(report.page(around, found))
        console.print(f"written: {options.out.name}")
    return not results.failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and leave no process and no file behind, also at Ctrl-C."""
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
        tell(console, str(error))
        return FAILED
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
