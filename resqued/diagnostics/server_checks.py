"""Findings about the server (version, memory, disk, clock) and its workers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from resqued.core.durations import show_seconds, show_size
from resqued.core.plural import join_names, pluralize
from resqued.diagnostics.checks import Finding, ok, problem, unchecked, warning
from resqued.store.history import HistorySize
from resqued.store.server_facts import ServerFacts

LEAST = {"Redis": (6, 2), "Valkey": (7, 2)}
# Older servers of these series can be made to run code of a producer's choice, by a
# large payload (CVE-2022-24834). Other series are too old, or never had the fault.
PATCHED = {("Redis", 6, 2): 13, ("Redis", 7, 0): 12}
# The share of a limit above which a warning is given.
CLOSE = 0.9
# The seconds by which clocks may differ; synchronised clocks differ by less.
SKEW = 1.0
# The seconds by which a heartbeat may be ahead; heartbeats are whole seconds.
FUTURE = 2.0
# The most names of queues in a line.
_NAMED = 3


def judge_url(url: str) -> Iterator[Finding]:
    """Yield a warning if the URL turns off the checks of the server's certificate."""
    if not url.startswith("rediss"):
        return
    options = parse_qs(urlsplit(url).query)
    off = [
        f"{name}={value}"
        for name, values in (
            ("ssl_cert_reqs", ("none", "optional")),
            ("ssl_check_hostname", ("false", "no", "0")),
        )
        for value in options.get(name, [])[-1:]
        if value.lower() in values
    ]
    if off:
        yield warning(
            "redis tls",
            f"{' and '.join(off)} in the URL: another server can pose as yours",
            "leave it out, and name the authority with ssl_ca_certs",
        )


# Remedies for a server that cannot be used, by words in the error.
_WAYS_OUT = {
    "max number of clients": "raise maxclients, or find who keeps the connections:"
    " CLIENT LIST",
    "Permission denied": "let this user write to the socket (unixsocketperm), or name"
    " the address in [redis] url",
    "certificate": "name the authority in [redis] url: ?ssl_ca_certs=FILE, and the host"
    " as the certificate has it",
    "SSL": "see whether the server has TLS on this port: rediss:// is with it, redis://"
    " without",
    "refused the login": "correct user and password in [redis] url, or the ACL of the"
    " server",
    "in several slots": "put the namespace in braces, and enqueue under the same name",
    "no sentinel names": "start the sentinels, or correct them in [redis] url",
    "sentinel at": "correct the name of the primary in [redis] url: SENTINEL MASTERS",
    "LOADING": "wait until the server has read its data",
    "Name or service": "correct the host in [redis] url, or its DNS",
    "name resolution": "correct the host in [redis] url, or its DNS",
}


def way_out(error: str) -> str:
    """Return the remedy for a server that cannot be used because of this error."""
    found = (way for word, way in _WAYS_OUT.items() if word in error)
    return next(found, "start it, or name another one in [redis] url")


def judge(server: ServerFacts) -> Iterator[Finding]:
    """Yield the findings about a server that answers."""
    if server.info:
        yield _version(server)
        yield _role(server)
        yield from _sentinels(server)
        yield from _cluster(server)
        yield _policy(server)
        yield _memory(server)
        yield _persistence(server)
        yield _clients(server)
    else:
        for check in ("version", "role", "policy", "memory", "persistence", "clients"):
            yield unchecked(f"redis {check}", f"INFO is refused: {server.refused}")
    yield _clock(server)
    yield _tracking(server)


def _version(server: ServerFacts) -> Finding:
    check = "redis version"
    name = "Valkey" if "valkey_version" in server.info else "Redis"
    text = server.info.get(f"{name.lower()}_version", "")
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if found is None:
        return unchecked(check, f"the server tells no version that we know: {text!r}")
    wanted = LEAST[name]
    if (int(found[1]), int(found[2])) < wanted:
        least = ".".join(map(str, wanted))
        return problem(
            check, f"{name} {text} is too old", f"upgrade it to {least} or later"
        )
    patched = PATCHED.get((name, int(found[1]), int(found[2])), 0)
    if int(found[3] or 0) < patched:
        return warning(
            check,
            f"{name} {text} has a known fault (CVE-2022-24834): who may enqueue jobs"
            " can run code in the server",
            f"upgrade it to {found[1]}.{found[2]}.{patched} or later, or see whether"
            " your distribution has fixed it",
        )
    return ok(check, f"{name} {text}")


def _role(server: ServerFacts) -> Finding:
    role = server.info.get("role", "")
    if role == "master":
        replicas = pluralize(server.number("connected_slaves"), "replica")
        place = f" at {server.place}" if server.place else ""
        return ok("redis role", f"a primary{place}, with {replicas}: it takes writes")
    primary = f"{server.info.get('master_host')}:{server.info.get('master_port')}"
    return problem(
        "redis role",
        f"a replica of {primary}: every write is answered READONLY",
        "name the primary in [redis] url",
    )


def _sentinels(server: ServerFacts) -> Iterator[Finding]:
    """Yield whether the sentinels of the URL answer and could fail over."""
    if not server.sentinels:
        return
    wrong = {place: why for place, why in server.sentinels.items() if why}
    if wrong:
        yield warning(
            "redis sentinels",
            "; ".join(f"{place}: {why}" for place, why in wrong.items()),
            "start those that are gone, and correct those that moved in [redis] url: a"
            " failover needs most of them",
        )
    else:
        count = pluralize(len(server.sentinels), "sentinel")
        yield ok("redis sentinels", f"{count} answer, enough for a failover")
    if server.info and not server.number("connected_slaves"):
        yield warning(
            "redis replicas",
            "the primary has no replica: nothing can take over",
            "start one",
        )


def _cluster(server: ServerFacts) -> Iterator[Finding]:
    """Yield the state of the cluster, as the node of the namespace has it."""
    check = "redis cluster"
    if not server.cluster:
        return
    if reason := server.cluster.get("refused"):
        yield unchecked(check, f"CLUSTER INFO is refused: {reason}")
        return
    state = server.cluster.get("cluster_state", "")
    sizes = (
        f"{server.cluster.get('cluster_known_nodes')} nodes,"
        f" {server.cluster.get('cluster_size')} primaries"
    )
    if state == "ok":
        yield ok(check, f"{sizes}; {server.place} serves the namespace")
    else:
        yield problem(
            check,
            f"{sizes}; cluster_state is {state or 'unknown'}: commands are refused",
            "CLUSTER NODES shows which nodes fail",
        )


def _policy(server: ServerFacts) -> Finding:
    check, policy = "redis policy", server.info.get("maxmemory_policy", "")
    if not policy:
        return unchecked(check, "INFO names no maxmemory_policy")
    if policy == "noeviction":
        return ok(check, "maxmemory-policy noeviction: a full server refuses writes")
    remedy = "set maxmemory-policy noeviction"
    if policy.startswith("volatile-"):
        return warning(
            check,
            f"maxmemory-policy {policy} may delete locks when it is full",
            remedy,
        )
    if not server.number("maxmemory"):
        return warning(
            check,
            f"maxmemory-policy {policy} would delete queues; so far there is no"
            " maxmemory at which it does",
            remedy,
        )
    return problem(
        check, f"maxmemory-policy {policy} deletes queues when it is full", remedy
    )


def _memory(server: ServerFacts) -> Finding:
    check, used = "redis memory", server.number("used_memory")
    limit, name = server.number("maxmemory"), "maxmemory"
    if not limit:
        limit, name = server.number("total_system_memory"), "its machine's memory"
    if not limit:
        return ok(check, f"{show_size(used)} in use, without maxmemory")
    text = f"{show_size(used)} of {show_size(limit)} ({name}) in use"
    if used >= CLOSE * limit:
        return warning(
            check,
            f"{text}: when it is full, no job can be enqueued, taken or recorded",
            "`resqued queues` and `resqued failed` show what may go; or give it more",
        )
    return ok(check, text)


def _persistence(server: ServerFacts) -> Finding:
    check, info = "redis persistence", server.info
    has_log = info.get("aof_enabled") == "1"
    failed = [
        what
        for what, field in (
            ("the last snapshot", "rdb_last_bgsave_status"),
            ("the last rewrite of the append-only file", "aof_last_bgrewrite_status"),
            ("the last write to the append-only file", "aof_last_write_status"),
        )
        if info.get(field, "ok") != "ok"
    ]
    if failed:
        return problem(
            check,
            f"{' and '.join(failed)} failed: jobs are not kept, or soon refused",
            "see the server's log and its disk",
        )
    if has_log:
        return ok(check, "appendonly is on")
    age = max(0.0, server.now - server.number("rdb_last_save_time"))
    lost = server.number("rdb_changes_since_last_save")
    return warning(
        check,
        f"appendonly is off; the last snapshot, or start, was {show_seconds(age)} ago,"
        f" and {pluralize(lost, 'change')} since would be lost with the server",
        "set appendonly yes",
    )


def _clients(server: ServerFacts) -> Finding:
    check = "redis clients"
    clients, most = server.number("connected_clients"), server.number("maxclients")
    if most and clients >= CLOSE * most:
        return warning(
            check,
            f"{clients} of {most} connections are in use",
            "raise maxclients, or find who keeps them: CLIENT LIST",
        )
    return ok(check, f"{pluralize(clients, 'connection')} of {most or 'any number'}")


def _clock(server: ServerFacts) -> Finding:
    check = "clock"
    # The skew is uncertain by half of the round trip.
    if abs(server.skew) <= SKEW + server.round_trip / 2:
        return ok(check, "this host and the server agree within a second")
    side = "ahead of" if server.skew > 0 else "behind"
    return warning(
        check,
        f"this host is {show_seconds(abs(server.skew))} {side} the server; the registry"
        " uses the server's clock, but times in failures and logs are this host's",
        "have both keep time by NTP",
    )


def _tracking(server: ServerFacts) -> Finding:
    check = "tracking"
    if server.is_tracking:
        return ok(check, "CLIENT TRACKING works: idle workers wake at once")
    return warning(
        check,
        "no CLIENT TRACKING: idle workers hear of jobs at the next [worker] interval",
        "allow '+client|tracking', and use a server and proxy that speak RESP3",
    )


class RegistryFacts(Struct, frozen=True):
    """The registered workers by state, and those whose heartbeat is in the future."""

    by_state: Mapping[str, tuple[str, ...]]
    ahead: tuple[str, ...] = ()


def judge_registry(registered: RegistryFacts) -> Iterator[Finding]:
    """Yield the findings about the registered workers."""
    ways = {
        "dead": "a master that starts on this host buries it; or `resqued workers"
        " remove ID`",
        "silent": "see whether its host lives; any master prunes it within minutes",
        "unknown": "if it is gone, `resqued workers remove ID`: nobody else does",
    }
    for state, remedy in ways.items():
        ids = registered.by_state.get(state, ())
        if ids:
            count = pluralize(len(ids), "worker")
            yield warning("registry", f"{count} {state}: {join_names(ids)}", remedy)
    if registered.ahead:
        yield warning(
            "registry",
            f"heartbeats of the future: {join_names(registered.ahead)}",
            "have the hosts of these workers keep time by NTP; until then their death"
            " is noticed late",
        )
    lively = sum(len(registered.by_state.get(s, ())) for s in ("working", "idle"))
    if lively:
        yield ok("registry", f"{pluralize(lively, 'worker')} alive")
    else:
        yield warning("registry", "no worker is alive: no job runs", "`resqued work`")


def judge_pauses(queues: Sequence[str], *, is_all: bool) -> Finding:
    """Return the finding about what is paused on all hosts."""
    if is_all:
        text = "all workers of all hosts are paused: pause-all-workers says true"
        return warning("pauses", text, "delete the key to resume them")
    if not queues:
        return ok("pauses", "no queue is paused")
    are = "is" if len(queues) == 1 else "are"
    return warning(
        "pauses",
        f"{pluralize(len(queues), 'queue')} {are} paused: {join_names(queues, _NAMED)}",
        "`resqued queues resume NAME` when its jobs are to run",
    )


class SchedulerLocks(Struct, frozen=True):
    """Who moves delayed jobs: the values of the locks of each kind; "" for nobody."""

    ours: str = ""
    ruby: str = ""
    node: str = ""


def judge_schedulers(locks: SchedulerLocks) -> Iterator[Finding]:
    """Yield warnings about schedulers of other kinds that write the same keys."""
    check = "schedulers"
    if locks.ruby:
        yield warning(
            check,
            f"resque-scheduler ({locks.ruby}) and resqued write the same keys: while it"
            " has its lock, no master of resqued moves delayed jobs",
            "stop resque-scheduler: masters move the delayed jobs of both",
        )
    if locks.node:
        yield warning(
            check,
            f"the scheduler of node-resque ({locks.node}) and resqued write the same"
            " keys: each job is moved once, but a job that node-resque has taken is"
            " lost if it dies then",
            "stop the scheduler of node-resque: masters move the delayed jobs of both",
        )
    if not (locks.ruby or locks.node):
        who = f"master {locks.ours} moves" if locks.ours else "no master has to move"
        yield ok(check, f"{who} delayed jobs; no scheduler of another kind is there")


def judge_history(resolution: str, size: HistorySize) -> Finding:
    """Return what the history takes in memory; `resolution` is what is kept of it."""
    taken = f"{pluralize(size.keys, 'key')} take {show_size(size.size)} of Redis"
    if resolution == "off":
        rest = f"; {taken}, until they expire" if size.keys else ""
        return ok("history", f"off{rest}")
    return ok("history", f"{resolution}: {taken}")
