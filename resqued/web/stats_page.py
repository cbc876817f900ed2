"""Statistics: counters as Resque has them, the server, and /stats.txt for monitors."""

from __future__ import annotations

from flask import Response, redirect, url_for
from werkzeug.wrappers import Response as BaseResponse

from resqued.core.visible_text import visible
from resqued.diagnostics.checks import Finding, Verdict
from resqued.diagnostics.server_checks import judge
from resqued.errors import StoreError
from resqued.web.render import page, snapshot
from resqued.web.site import site

# What matters first: the title, and fields of INFO.
_FIRST = {
    "Server": ("redis_version", "valkey_version", "role", "uptime_in_seconds"),
    "Memory": (
        *("used_memory_human", "used_memory_peak_human", "maxmemory_human"),
        *("maxmemory_policy", "evicted_keys", "mem_fragmentation_ratio"),
    ),
    "Persistence": (
        *("aof_enabled", "aof_last_write_status", "rdb_last_bgsave_status"),
        *("rdb_changes_since_last_save", "loading"),
    ),
    "Clients": (
        *("connected_clients", "blocked_clients", "maxclients"),
        *("rejected_connections", "instantaneous_ops_per_sec"),
    ),
}


def show() -> BaseResponse:
    """Go to the first page of the statistics."""
    return redirect(url_for("stats.resque"))


def resque() -> Response:
    """Show the counters of the namespace, as Resque's info has them."""
    return page("stats_resque.html", figures=_figures())


def _figures() -> dict[str, int]:
    now = snapshot()
    return {
        **now.counters.as_dict(),
        "queues": len(now.queues),
        "workers": len(now.worker_ids),
        "working": now.working_count,
    }


def server() -> Response:
    """Show INFO of the server, what matters first, and what doctor says of it."""
    facts, problem = None, ""
    try:
        facts = site().facts.server.value()
    except StoreError as error:
        problem = str(error)
    info = facts.info if facts else {}
    first = {
        title: {name: info[name] for name in names if name in info}
        for title, names in _FIRST.items()
    }
    findings = sorted(judge(facts), key=_urgency) if facts else []
    return page(
        "stats_redis.html",
        facts=facts,
        problem=problem,
        first={title: found for title, found in first.items() if found},
        findings=findings,
    )


def _urgency(found: Finding) -> int:
    order = (Verdict.PROBLEM, Verdict.WARNING, Verdict.UNCHECKED, Verdict.OK)
    return order.index(found.verdict)


def text() -> Response:
    """Return the lines of Resque's /stats.txt, for monitors.

    As in Resque, `failed` is the length of the failed list, and no line end follows the
    last line. A line end in the name of a queue is escaped.
    """
    figures = _figures()
    lines = [
        f"resque.pending={figures['pending']}",
        f"resque.processed+={figures['processed']}",
        f"resque.failed+={figures['failures']}",
        f"resque.workers={figures['workers']}",
        f"resque.working={figures['working']}",
    ]
    lines += [
        f"queues.{_on_one_line(name)}={size}"
        for name, size in snapshot().queues.items()
    ]
    return Response("\n".join(lines), content_type="text/plain; charset=utf-8")


def _on_one_line(name: str) -> str:
    return visible(name).replace("\n", r"\n").replace("\t", r"\t")
