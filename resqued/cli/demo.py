"""`resqued demo`: the whole of it on real input, and whether it holds."""

from __future__ import annotations

import json
import os
import sysconfig
from pathlib import Path

import click
from rich.console import Console

from resqued.cli.options import json_option
from resqued.config.pools import MOST_WORKERS
from resqued.demo.interrupts import Interrupted, Interrupts
from resqued.demo.progress import Progress
from resqued.demo.report import DemoReport, show
from resqued.demo.run import Demo, DemoOptions
from resqued.errors import ExitCode

EXAMPLES = """
\b
Examples:
  resqued demo                                 archive Python's standard library
  resqued demo --source ~/src/myproject --workers 8
  resqued demo --out /var/tmp/archives         a folder that is empty, or made
  resqued demo --redis redis://localhost:6379/5
  resqued demo --web                           with pages to look at
  resqued demo --json | jq .jobs_per_second

\b
An archive holds the files and symlinks of one package folder (a folder with an
__init__.py; where there is none, any folder with files). Symlinks are kept as
such, never followed. Left out are __pycache__, site-packages and dist-packages,
and, named in the end, files that may not be read and what is no file.

\b
The folder with the archives stays if everything holds. If not, or after Ctrl-C,
it is removed; a folder that was there before stays, and keeps what the jobs made
if the demo came to its end. Exit status: 0 if everything holds, 130 after Ctrl-C.
With --json, progress goes to standard error.
"""

_HERE = Path(sysconfig.get_path("stdlib"))


@click.command(epilog=EXAMPLES)
@click.option(
    "--source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=_HERE,
    show_default="Python's standard library",
    metavar="DIR",
    help="The tree whose package folders to archive.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where to put the archives; by default a new folder for temporary files.",
)
@click.option(
    "--redis",
    metavar="URL",
    help="A server to use instead of the embedded one; namespace resqued-demo.",
)
@click.option(
    "-n",
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="one for each processor",
    help="How many workers.",
)
@click.option(
    "--web",
    "has_web",
    is_flag=True,
    help="Serve the web front end meanwhile, and repeat the jobs until Ctrl-C.",
)
@json_option
def demo(
    *,
    source: Path,
    out: Path | None,
    redis: str | None,
    workers: int,
    has_web: bool,
    as_json: bool,
) -> int:
    """Run real jobs from start to end, and check the result.

    Starts an embedded server and a master with workers, has them archive a tree
    of source files while some jobs fail on purpose, shows how it goes, ends
    everything, and checks the archives, the counts and that no process is left.
    """
    wishes = DemoOptions(source.absolute(), out, redis, workers, has_web)
    console = Console(stderr=as_json, highlight=False)
    with Interrupts() as interrupts:
        try:
            with Progress(console) as progress:
                report = Demo(wishes, interrupts, progress).run()
        except Interrupted as interrupted:
            click.echo(f"interrupted ({interrupted}): nothing is left", err=True)
            return interrupted.exit_code
        _print(report, console, as_json=as_json)
    return ExitCode.OK if report.is_good else ExitCode.FAILED


def _print(report: DemoReport, console: Console, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2))
    else:
        show(report, console)
