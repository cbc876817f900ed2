"""`resqued status`: the pools of this host, and what Redis knows, in one view.

With --check or --alive it is a probe instead: a line and an exit code.
"""

from __future__ import annotations

from contextlib import closing

import click

from resqued.cli import options
from resqued.cli.masters import show_master
from resqued.cli.options import Duration, json_option, pid_file_option, redis_options
from resqued.cli.queues import COLUMNS as QUEUE_COLUMNS
from resqued.cli.table import Column, show_json, show_line, show_table
from resqued.cli.workers import COLUMNS as WORKER_COLUMNS
from resqued.cli.workers import as_row
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.diagnostics import probes
from resqued.diagnostics.local_masters import LocalMasters, fetch_pools, holder
from resqued.diagnostics.overview import Overview, read_overview
from resqued.diagnostics.pool_view import PoolView
from resqued.diagnostics.probes import Probe
from resqued.errors import StoreError

EXAMPLES = """
\b
Examples:
  resqued status
  resqued status --json | jq '.workers[] | select(.state == "silent")'
  resqued status --check --wait 30s

\b
States: working, idle; dead: its process on this host is gone; silent: its last
heartbeat is too old; unknown: it never had one.
"""


@click.command(epilog=EXAMPLES)
@json_option
@click.option(
    "--check",
    is_flag=True,
    help="Show no tables: 0 if all is well, else 1 or 69 and what is wrong.",
)
@click.option(
    "--alive",
    is_flag=True,
    help="As --check, of the master alone: whether it answers.",
)
@click.option(
    "--wait",
    metavar="TIME",
    type=Duration(),
    help="With --check or --alive: how long things may take to be so.",
)
@pid_file_option
@redis_options
def status(
    as_json: bool,
    check: bool,
    alive: bool,
    wait: float | None,
    pid_file: str | None,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> None:
    """Show the pools of this host; counters, queues and all workers in Redis.

    The pools are shown even if Redis is away.

    With --check all is well if a master answers, is not about to stop, has every
    worker that it wants registered, and its own Redis answers and takes writes; a
    paused pool is well. --redis and --namespace do not matter then.
    """
    is_probe = check or alive
    if check and alive:
        raise click.UsageError("--check says what --alive does: give one of them.")
    if wait is not None and not is_probe:
        raise click.UsageError("--wait needs --check or --alive.")
    if as_json and is_probe:
        raise click.UsageError("--check and --alive answer by their exit code.")

    def meant() -> LocalMasters:
        return LocalMasters(config_file, holder(pid_file))

    if alive:
        _show_probe(lambda: probes.alive(meant()), wait)
        return
    if check:
        _show_probe(lambda: probes.ready(meant()), wait)
        return
    with closing(options.client(url, namespace, config_file)) as client:
        _show_all(client, meant(), as_json=as_json)


def _show_probe(probe: Probe, wait: float | None) -> None:
    """Print for each master that it is well, or raise what is wrong."""
    for pool in probes.wait_for(probe, wait or 0.0):
        paused = " and paused" if pool.is_paused else ""
        wanted = pluralize(pool.wanted, "worker")
        show_line(f"master {pool.pid} is {pool.state}{paused}, with {wanted}")


def _show_all(client: Client, meant: LocalMasters, *, as_json: bool) -> None:
    pools = fetch_pools(meant.find())
    shown = [pool.as_dict() for pool in pools]
    if not as_json:
        _show_pools(pools, meant)
    try:
        found = read_overview(client)
    except StoreError as error:
        if as_json and pools:
            show_json({"masters": shown, "error": str(error)})
        raise
    if as_json:
        show_json(
            {
                "masters": shown,
                **found.counters.as_dict(),
                "queues": found.queues,
                "workers": [status.as_dict() for status in found.workers],
            }
        )
    else:
        _show(found)


def _show_pools(pools: list[PoolView], meant: LocalMasters) -> None:
    for pool in pools:
        show_master(pool)
        click.echo()
    if not pools and meant.may_be_hidden():
        show_line(meant.missing())
        click.echo()


def _show(found: Overview) -> None:
    counters = found.counters.as_dict()
    titles = [Column(name.upper(), is_number=True) for name in counters]
    show_table(titles, [list(counters.values())], empty="")
    click.echo()
    show_table(QUEUE_COLUMNS, list(found.queues.items()), empty="no queues")
    click.echo()
    show_table(WORKER_COLUMNS, [as_row(s) for s in found.workers], empty="no workers")
