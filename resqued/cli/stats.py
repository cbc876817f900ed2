"""`resqued stats`: the counters, as Resque.info has them, and the queues' lengths."""

from __future__ import annotations

import click

from resqued.cli.options import json_option, with_client
from resqued.cli.queues import COLUMNS as QUEUE_COLUMNS
from resqued.cli.table import Column, show_json, show_table
from resqued.client import Client

EXAMPLES = """
\b
Examples:
  resqued stats
  resqued stats --json | jq .pending

\b
processed, failed   jobs ever run, and how many of them failed
failures            entries of the failed list: `resqued failed`
pending             jobs that wait
"""
COLUMNS = (Column("COUNTER"), Column("VALUE", is_number=True))


@click.command(epilog=EXAMPLES)
@json_option
@with_client
def stats(client: Client, as_json: bool) -> None:
    """Show the counters and the length of every queue."""
    info = client.info().as_dict()
    sizes = client.queue_sizes()
    if as_json:
        show_json({**info, "queue_sizes": sizes})
        return
    show_table(COLUMNS, list(info.items()), empty="")
    click.echo()
    show_table(QUEUE_COLUMNS, list(sizes.items()), empty="no queues")
