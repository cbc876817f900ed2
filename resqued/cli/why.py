"""`resqued why`: what keeps the jobs of a queue, or of a class, from running.

diagnostics gathers the facts and judges them; this shows the findings.
"""

from __future__ import annotations

from contextlib import closing

import click

from resqued.cli.completion import queue_names
from resqued.cli.options import app_option, json_option, redis_options
from resqued.cli.table import show_json, show_words
from resqued.client import Client
from resqued.config.layers import Given, read_layers
from resqued.config.loader import build
from resqued.core.plural import pluralize
from resqued.diagnostics.explain import explain
from resqued.diagnostics.facts import Facts, Observation
from resqued.diagnostics.queue_facts import FactGatherer, Query

EXAMPLES = """
\b
Examples:
  resqued why critical
  resqued why myapp.jobs.Mail
  resqued why myapp.jobs.Mail --queue critical --json
"""
# A second's work, where payloads are small.
DEPTH = 1_000_000


@click.command(epilog=EXAMPLES)
@click.argument("name", shell_complete=queue_names)
@click.option("-q", "--queue", metavar="QUEUE", help="NAME is a class in this queue.")
@click.option(
    "--depth",
    type=click.IntRange(min=1),
    default=DEPTH,
    show_default=True,
    help="How many jobs to look at for a class, in all queues.",
)
@app_option
@click.option("--no-import", is_flag=True, help="Do not import the application.")
@json_option
@redis_options
def why(
    name: str,
    queue: str | None,
    depth: int,
    modules: tuple[str, ...],
    no_import: bool,
    as_json: bool,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> None:
    """Say why the jobs of queue or class NAME do not run.

    Nothing is changed. For a class the application is imported, in a process of
    its own, to see whether it is there.
    """
    given: Given = {
        "redis": {"url": url, "namespace": namespace},
        "app": {"import": list(modules) or None},
    }
    config = build(read_layers(config_file, given).for_command())
    app = config.app
    link = Client(app.url, namespace=app.namespace, timeout=app.redis_timeout)
    with closing(link) as client:
        scene = FactGatherer(client, config, is_import_allowed=not no_import)
        answers = list(scene.answers(Query(name, queue, depth)))
    if as_json:
        show_json([facts.as_dict(explain(facts)) for facts in answers])
        return
    for facts in answers:
        show_words(_heading(facts))
        for finding in explain(facts):
            _show(finding)


def _show(finding: Observation) -> None:
    """Print a finding, with what it names below it, a line each."""
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    show_words(f"  {finding.kind}: {finding.text}{remedy}", indent=2)
    for line in finding.details:
        show_words(f"    {line}", indent=2)


def _heading(facts: Facts) -> str:
    count = len(facts.serving)
    serving = f"{pluralize(count, 'worker')} {'serves' if count == 1 else 'serve'} it"
    search = facts.search
    where = ""
    if search is not None and search.ahead is not None:
        where = f"; {search.class_name} has {search.ahead} ahead"
    return f"queue {facts.queue}: {pluralize(facts.size, 'job')}{where}; {serving}"
