"""`resqued status`: the pools of this host, and what Redis knows, in one view.

With --check or --alive it is a probe instead: a line and an exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial

import click

from resqued.cli import options
from resqued.cli.masters import masters_meant, show_headlines
from resqued.cli.options import (
    Duration,
    json_option,
    pid_file_option,
    redis_options,
    wide_option,
)
from resqued.cli.queues import show_queues
from resqued.cli.table import room_of, show_json, show_line, show_table, show_words
from resqued.cli.worker_table import (
    LOCAL_COLUMNS,
    WorkerRow,
    abridge,
    join_workers,
)
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.diagnostics import probes
from resqued.diagnostics.local_masters import LocalMasters
from resqued.diagnostics.overview import read_overview
from resqued.diagnostics.probes import Probe
from resqued.errors import StoreError
from resqued.store.counters import Counters

EXAMPLES = """
\b
Examples:
  resqued status
  resqued status --json | jq '.workers[] | select(.state == "silent")'
  resqued status --check --wait 30s

\b
States: starting, working, idle, stopping; settling: it records the end of a job;
dead: its process on this host is gone; silent: its last heartbeat is too old;
unknown: it never had one.
"""


@click.command(epilog=EXAMPLES)
@json_option
@wide_option
@click.option(
    "--check",
    is_flag=True,
    help="Print no tables; exit with 0 if all is well, else 1 or 69, with the reason.",
)
@click.option(
    "--alive",
    is_flag=True,
    help="As --check, but only check that the master answers.",
)
@click.option(
    "--wait",
    metavar="TIME",
    type=Duration(),
    help="With --check or --alive: how long to wait for success, such as 30s.",
)
@pid_file_option
@redis_options
def status(
    as_json: bool,
    is_wide: bool,
    check: bool,
    alive: bool,
    wait: float | None,
    pid_file: str | None,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> None:
    """Show the pools of this host, and queues and workers in Redis.

    The pools are those of the masters of this host that serve the Redis and namespace
    meant; others are counted in one line. They are shown even if Redis is away. On a
    terminal, of more than ten workers only those are shown that are not idle.

    With --check all is well if a master answers, is not about to stop, has every
    worker that it wants registered, and its own Redis answers and takes writes; a
    paused pool is well. --redis and --namespace do not matter then.
    """
    if check and alive:
        raise click.UsageError("Give --check or --alive, not both.")
    if wait is not None and not (check or alive):
        raise click.UsageError("--wait needs --check or --alive.")
    if as_json and (check or alive):
        raise click.UsageError("--check and --alive answer by their exit code.")
    meant = partial(masters_meant, None, pid_file, config_file, url, namespace)
    if alive:
        _show_probe(lambda: probes.alive(meant()), wait)
        return
    if check:
        _show_probe(lambda: probes.ready(meant()), wait)
        return
    with closing(options.client(url, namespace, config_file)) as client:
        if as_json:
            _print_json(client, meant())
        else:
            _show_all(client, meant(), is_wide=is_wide)


def _show_probe(probe: Probe, wait: float | None) -> None:
    """Print for each master that it is well, or raise what is wrong."""
    for pool in probes.wait_for(probe, wait or 0.0):
        paused = " and paused" if pool.is_paused else ""
        wanted = pluralize(pool.wanted, "worker")
        show_line(f"master {pool.pid} is {pool.state}{paused}, with {wanted}")


def _print_json(client: Client, meant: LocalMasters) -> None:
    pools = [pool.as_dict() for pool in meant.survey().meant]
    try:
        found = read_overview(client)
    except StoreError as error:
        if pools:
            show_json({"masters": pools, "error": str(error)})
        raise
    show_json(
        {
            "masters": pools,
            **found.counters.as_dict(),
            "queues": found.queues,
            "paused_queues": found.paused,
            "workers": [status.as_dict() for status in found.workers],
        }
    )


def _show_all(client: Client, meant: LocalMasters, *, is_wide: bool) -> None:
    here = meant.survey()
    for pool in here.meant:
        show_headlines(pool)
    if here.others:
        show_words(here.others_in_words())
    if not here.meant and meant.may_be_hidden():
        show_line(meant.missing())
    if here.meant or here.others or meant.may_be_hidden():
        click.echo()
    local = [worker for pool in here.meant for worker in pool.workers]
    try:
        found = read_overview(client)
    except StoreError:
        if local:
            _show_workers(join_workers(local, ()), is_wide=is_wide)
        raise
    are_many = any(len(pool.namespaces) > 1 for pool in here.meant)
    where = f"namespace {client.namespace}: " if are_many else ""
    show_words(where + counters_in_words(found.counters))
    click.echo()
    show_queues(found.queues, found.paused, is_wide=is_wide)
    click.echo()
    _show_workers(join_workers(local, found.workers, client.namespace), is_wide=is_wide)


def counters_in_words(counters: Counters) -> str:
    """Return the counters as a sentence, each with what it counts."""
    waiting = pluralize(counters.pending, "job")
    entries = pluralize(counters.failures, "failure")
    return (
        f"{waiting} waiting; {counters.processed} processed, {counters.failed} of them"
        f" failed; {entries} listed by `resqued failed`"
    )


def _show_workers(rows: Sequence[WorkerRow], *, is_wide: bool) -> None:
    """Print the workers; on a terminal, of many only those that are worth a look."""
    shown, line = rows, ""
    if room_of(is_wide=is_wide) is not None:
        shown, line = abridge(rows)
    if shown or not rows:
        cells = [row.cells() for row in shown]
        show_table(LOCAL_COLUMNS, cells, empty="no workers", is_wide=is_wide)
    if line:
        show_words(line)
