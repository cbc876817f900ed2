"""Findings about masters of other hosts, and about the server that has answered."""

from __future__ import annotations

from collections.abc import Iterator

from resqued.core.plural import join_names
from resqued.diagnostics.facts import NAMED, Facts, Observation


def paused_masters(facts: Facts, *, is_cause: bool) -> Iterator[Observation]:
    """Yield which masters are paused, of this host and of others."""
    if facts.paused_masters:
        masters = join_names([str(pid) for pid in facts.paused_masters], NAMED)
        yield Observation(
            "master_paused",
            f"of this host these masters are paused: {masters}",
            f"`kill -CONT {' '.join(map(str, facts.paused_masters))}`",
            is_cause=is_cause,
        )
    if facts.paused_elsewhere:
        hosts = dict.fromkeys(m.rpartition(":")[0] for m in facts.paused_elsewhere)
        masters = join_names(facts.paused_elsewhere, NAMED)
        yield Observation(
            "master_paused",
            f"these masters of other hosts or users are paused: {masters}",
            f"`resqued resume` on {join_names(list(hosts), NAMED)}, as their user",
            is_cause=is_cause,
        )


def masters(facts: Facts) -> Iterator[Observation]:
    """Yield which masters serve the queue that Redis alone names."""
    if facts.other_masters:
        yield Observation(
            "other_masters",
            f"masters of other hosts or users serve {facts.queue}, as Redis has it:"
            f" {join_names(facts.other_masters, NAMED)}",
            is_cause=False,
        )


def server(facts: Facts) -> Iterator[Observation]:
    """Yield which server has answered, where the URL does not say it."""
    server = facts.server
    role = f"the {server.role}" if server.role else "a server of unknown role"
    if server.role == "replica":
        yield Observation(
            "server",
            f"a replica, {server.place}, has answered: it may be behind its primary,"
            " and workers with the same URL take no jobs until it is the primary",
            "name the primary in [redis] url",
            # The workers of the primary are registered in its replicas too.
            is_cause=not facts.serving,
        )
    elif server.is_found:
        yield Observation(
            "server", f"{server.place}, {role}, has answered", is_cause=False
        )
