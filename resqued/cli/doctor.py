"""`resqued doctor`: is everything here as resqued needs it?"""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from resqued.cli.options import app_option, json_option, redis_options
from resqued.cli.table import show_json, show_line
from resqued.config import loader
from resqued.config.layers import Given, read_layers
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
    """Check Redis, the configuration, the application and this machine.

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
    if as_json:
        show_json([{**asdict(f), "verdict": f.verdict.value} for f in findings])
    is_ill = any(finding.verdict is Verdict.PROBLEM for finding in findings)
    return int(ExitCode.FAILED if is_ill else ExitCode.OK)


def _show(finding: Finding) -> None:
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    word = finding.verdict.value
    show_line(f"{word:<11}  {finding.check}: {finding.text}{remedy}")
