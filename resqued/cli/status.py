"""`resqued status`: the pools of this host, and what Redis knows, in one view."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from resqued import asking
from resqued.cli import masters, options
from resqued.cli.options import json_option, pid_file_option, redis_options
from resqued.cli.queues import COLUMNS as QUEUE_COLUMNS
from resqued.cli.table import Column, show_json, show_line, show_table
from resqued.cli.workers import COLUMNS as WORKER_COLUMNS
from resqued.cli.workers import sightings
from resqued.client import Client
from resqued.errors import StoreError

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
@pid_file_option
@redis_options
def status(
    as_json: bool,
    pid_file: str | None,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> None:
    """Show the pools of this host; counters, queues and all workers in Redis.

    The pools are shown even if Redis is away.
    """
    client = options.client(url, namespace, config_file)
    meant = masters.holder(pid_file)
    pools = asking.statuses(masters.all_of(config_file, meant))
    if not as_json:
        _show_pools(pools, config_file)
    with closing(client):
        try:
            found = _found(client)
        except StoreError as error:
            if as_json and pools:
                show_json({"masters": pools, "error": str(error)})
            raise
    if as_json:
        workers = [sighting.as_dict() for sighting in found.pop("workers")]
        counters = found.pop("counters")
        show_json({"masters": pools, **counters, **found, "workers": workers})
    else:
        _show(found)


def _found(client: Client) -> dict[str, Any]:
    """Return what Redis knows."""
    sizes = client.queue_sizes()
    processed, failed = client.registry.totals()
    counters = {
        "pending": sum(sizes.values()),
        "processed": processed,
        "failed": failed,
        "failures": client.failures.count(),
    }
    return {"counters": counters, "queues": sizes, "workers": sightings(client)}


def _show_pools(pools: list[dict[str, Any]], config_file: str | None) -> None:
    for pool in pools:
        masters.show_master(pool)
        click.echo()
    if not pools and masters.are_hidden(config_file):
        show_line(masters.missing(config_file))
        click.echo()


def _show(found: dict[str, Any]) -> None:
    counters = found["counters"]
    titles = [Column(name.upper(), is_number=True) for name in counters]
    show_table(titles, [list(counters.values())], empty="")
    click.echo()
    show_table(QUEUE_COLUMNS, list(found["queues"].items()), empty="no queues")
    click.echo()
    show_table(
        WORKER_COLUMNS, [s.as_row() for s in found["workers"]], empty="no workers"
    )
