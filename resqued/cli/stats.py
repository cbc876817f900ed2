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
"""
COLUMNS = (
    Column("COUNTER", rank=0),
    Column("VALUE", rank=0, is_number=True),
    Column("MEANING"),
)
MEANINGS = {
    "pending": "jobs that wait in all queues",
    "processed": "jobs that were ever run, the failed ones included",
    "failed": "jobs of these that failed",
    "failures": "entries in the list of `resqued failed`",
}


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
    rows = [(name, value, MEANINGS.get(name, "")) for name, value in info.items()]
    show_table(COLUMNS, rows, empty="")
    click.echo()
    show_table(QUEUE_COLUMNS, list(sizes.items()), empty="no queues")
