"""`resqued doctor`: is everything here as resqued needs it?"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
from msgspec.structs import asdict
from rich.text import Text

from resqued.cli.options import app_option, json_option, redis_options
from resqued.cli.table import room_of, show_json, show_lines, show_words, wrapped
from resqued.cli.text import clean
from resqued.config import loader
from resqued.config.layers import Given, read_layers
from resqued.core.plural import pluralize
from resqued.diagnostics.checks import Finding, Verdict
from resqued.diagnostics.checkup import Systemd, check_up
from resqued.errors import ExitCode
from resqued.systemd import units

EXAMPLES = """
\b
Examples:
  resqued doctor
  resqued doctor -c /etc/resqued/resqued.toml --json
  resqued doctor --no-import

\b
Run it as the user, and with the environment, that the master has.
"""
STYLES = {Verdict.PROBLEM: "bold red", Verdict.WARNING: "yellow", Verdict.OK: "green"}
# Text begins below text: after the word for the verdict.
_MARGIN = 13


@click.command(epilog=EXAMPLES)
@app_option
@click.option("--no-import", is_flag=True, help="Do not import the application.")
@json_option
@redis_options
def doctor(
    modules: tuple[str, ...],
    no_import: bool,
    as_json: bool,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> int:
    """Check Redis, configuration, application and this host.

    One line for each check, with what to do. Exits with 1 if there is a problem;
    a warning is none.
    """
    given: Given = {
        "redis": {"url": url, "namespace": namespace},
        "app": {"import": list(modules) or None},
    }
    path = loader.file_in_use(config_file, os.environ)
    systemd = Systemd(units.settings, units.PATTERN, 4 * units.PATIENCE)
    findings: list[Finding] = []
    for finding in check_up(
        str(path or ""),
        lambda: loader.build(read_layers(config_file, given).merged()),
        systemd,
        may_import=not no_import,
    ):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if not as_json and sys.stdout.isatty() and (line := _summary(findings)):
        show_words(line)
    if as_json:
        show_json([{**asdict(f), "verdict": f.verdict.value} for f in findings])
    is_ill = any(finding.verdict is Verdict.PROBLEM for finding in findings)
    return int(ExitCode.FAILED if is_ill else ExitCode.OK)


def _show(finding: Finding) -> None:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    word = finding.verdict.value
    style = STYLES.get(finding.verdict, "")
    text = f"{word:<11}  {finding.check}: {finding.text}{remedy}"
    room = room_of(is_wide=False)
    first, *more = wrapped(clean(text), room, indent=_MARGIN)
    lines = [Text(line) for line in (first, *more)]
    lines[0].stylize(style, 0, len(word))
    show_lines(lines)


def _summary(findings: Sequence[Finding]) -> str:
    """Return which checks found something, for the last line; "" if none did."""
    parts = []
    for verdict in (Verdict.PROBLEM, Verdict.WARNING):
        checks = [f.check for f in findings if f.verdict is verdict]
        if checks:
            names = ", ".join(dict.fromkeys(checks))
            parts.append(f"{pluralize(len(checks), verdict.value)} ({names})")
    return "; ".join(parts)
