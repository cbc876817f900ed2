"""`resqued status`: counters, queues and workers in one view."""

from __future__ import annotations

import click

from resqued.cli.options import json_option, with_client
from resqued.cli.queues import COLUMNS as QUEUE_COLUMNS
from resqued.cli.table import Column, show_json, show_table
from resqued.cli.workers import COLUMNS as WORKER_COLUMNS
from resqued.cli.workers import sightings
from resqued.client import Client

EXAMPLES = """
\b
Examples:
  resqued status
  resqued status --json | jq '.workers[] | select(.state == "silent")'

\b
States: working, idle; dead: its process on this host is gone; silent: its last
heartbeat is too old; unknown: it never had one.
"""


@click.command(epilog=EXAMPLES)
@json_option
@with_client
def status(client: Client, as_json: bool) -> None:
    """Show counters, queues and workers."""
    sizes = client.queue_sizes()
    processed, failed = client.registry.totals()
    counters = {
        "pending": sum(sizes.values()),
        "processed": processed,
        "failed": failed,
        "failures": client.failures.count(),
    }
    found = sightings(client)
    if as_json:
        workers = [sighting.as_dict() for sighting in found]
        show_json({**counters, "queues": sizes, "workers": workers})
        return
    titles = [Column(name.upper(), is_number=True) for name in counters]
    show_table(titles, [list(counters.values())], empty="")
    click.echo()
    show_table(QUEUE_COLUMNS, list(sizes.items()), empty="no queues")
    click.echo()
    show_table(WORKER_COLUMNS, [s.as_row() for s in found], empty="no workers")
