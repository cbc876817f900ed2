"""What the doctor makes of facts: each fault is found, and health is not doubted."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from resqued.diagnostics import app_checks as application
from resqued.diagnostics import host_checks as machine
from resqued.diagnostics import server_checks as server
from resqued.diagnostics.app_checks import ControlDirectory
from resqued.diagnostics.checks import Finding, Verdict
from resqued.diagnostics.host_checks import HostLimits, Plan
from resqued.diagnostics.import_result import Import
from resqued.diagnostics.server_checks import RegistryFacts
from resqued.store.server_facts import ServerFacts

OK, WARNING = Verdict.OK, Verdict.WARNING
PROBLEM, UNCHECKED = Verdict.PROBLEM, Verdict.UNCHECKED

INFO = {
    "redis_version": "7.2.4",
    "valkey_version": "9.1.2",
    "redis_mode": "standalone",
    "role": "master",
    "maxmemory": "0",
    "maxmemory_policy": "noeviction",
    "used_memory": "1000000",
    "total_system_memory": "1000000000",
    "aof_enabled": "1",
    "rdb_last_bgsave_status": "ok",
    "rdb_last_save_time": "940",
    "rdb_changes_since_last_save": "3",
    "aof_last_write_status": "ok",
    "connected_clients": "4",
    "maxclients": "10000",
}
HEALTHY = ServerFacts(INFO, now=1000.0)


def told(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Findings by their check; of several the gravest."""
    order = [OK, UNCHECKED, WARNING, PROBLEM]
    found = sorted(findings, key=lambda finding: order.index(finding.verdict))
    assert all(f.remedy for f in found if f.verdict in (WARNING, PROBLEM))
    assert all("\n" not in f.text + f.remedy for f in found)
    return {finding.check: finding for finding in found}


SENTINELS = {"a:26379": "", "b:26379": "", "c:26379": ""}
CLUSTER = {"cluster_state": "ok", "cluster_known_nodes": "6", "cluster_size": "3"}


def test_sentinels_that_answer_and_a_replica_are_enough() -> None:
    info = {**INFO, "connected_slaves": "1"}
    found = told(
        server.judge(replace(HEALTHY, info=info, sentinels=SENTINELS, place="d:1"))
    )
    assert found["redis sentinels"].text == "3 sentinels answer, enough for a failover"
    assert found["redis role"].text.startswith("a primary at d:1, with 1 replica")
    assert {finding.verdict for finding in found.values()} == {OK}


def test_a_sentinel_that_is_gone_is_named_and_so_is_a_primary_alone() -> None:
    gone = {**SENTINELS, "b:26379": "Error 111 connecting to b:26379"}
    found = told(server.judge(replace(HEALTHY, sentinels=gone)))
    assert found["redis sentinels"].verdict is WARNING
    assert found["redis sentinels"].text == "b:26379: Error 111 connecting to b:26379"
    assert found["redis replicas"].verdict is WARNING


@pytest.mark.parametrize(
    ("changed", "verdict", "said"),
    [
        ({}, OK, "6 nodes, 3 primaries; n:7000 serves the namespace"),
        ({"cluster_state": "fail"}, PROBLEM, "cluster_state is fail"),
        ({"refused": "NOPERM"}, UNCHECKED, "CLUSTER INFO is refused: NOPERM"),
    ],
)
def test_the_state_of_a_cluster_is_told(
    changed: dict[str, str], verdict: Verdict, said: str
) -> None:
    facts = replace(HEALTHY, cluster={**CLUSTER, **changed}, place="n:7000")
    finding = told(server.judge(facts))["redis cluster"]
    assert finding.verdict is verdict
    assert said in finding.text


def test_a_healthy_server_is_not_doubted() -> None:
    assert {f.verdict for f in server.judge(HEALTHY)} == {OK}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://h?ssl_cert_reqs=none", ""),
        ("rediss://h", ""),
        ("rediss://:none@h?ssl_cert_reqs=required&ssl_ca_certs=/none", ""),
        ("rediss://h?ssl_cert_reqs=none", "ssl_cert_reqs=none in the URL"),
        ("rediss://h?ssl_cert_reqs=Optional", "ssl_cert_reqs=Optional"),
        ("rediss://:pa55@h?ssl_check_hostname=False", "ssl_check_hostname=False"),
    ],
)
def test_a_certificate_that_nobody_checks_is_warned_of(url: str, said: str) -> None:
    found = told(server.judge_url(url))
    assert bool(found) == bool(said)
    for finding in found.values():
        assert finding.verdict is WARNING
        assert said in finding.text
        assert "pa55" not in finding.text


REDIS_7 = {"valkey_version": None, "redis_version": "7.0.0"}


@pytest.mark.parametrize(
    ("changed", "check", "verdict", "said"),
    [
        (REDIS_7, "version", WARNING, "CVE-2022-24834"),
        ({**REDIS_7, "redis_version": "7.0.12"}, "version", OK, "Redis 7.0.12"),
        ({**REDIS_7, "redis_version": "7.2.0"}, "version", OK, "Redis 7.2.0"),
        ({**REDIS_7, "redis_version": "6.2.12"}, "version", WARNING, "6.2.12"),
        ({**REDIS_7, "redis_version": "6.2.13"}, "version", OK, "Redis 6.2.13"),
        ({**REDIS_7, "redis_version": "6.0.16"}, "version", PROBLEM, "6.2 or later"),
        ({"valkey_version": "7.0.1"}, "version", PROBLEM, "7.2 or later"),
        ({"valkey_version": "10.0.0"}, "version", OK, "10.0.0"),
        ({"valkey_version": "unstable"}, "version", UNCHECKED, "'unstable'"),
        ({"role": "slave", "master_host": "db1"}, "role", PROBLEM, "replica of db1"),
        ({"maxmemory_policy": "allkeys-lru"}, "policy", WARNING, "noeviction"),
        (
            {"maxmemory_policy": "allkeys-lru", "maxmemory": "5000000"},
            "policy",
            PROBLEM,
            "deletes queues",
        ),
        (
            {"maxmemory_policy": "volatile-ttl", "maxmemory": "5000000"},
            "policy",
            WARNING,
            "locks",
        ),
        ({"maxmemory_policy": None}, "policy", UNCHECKED, "maxmemory_policy"),
        ({"maxmemory": "1100000"}, "memory", WARNING, "when it is full"),
        ({"maxmemory": "1200000"}, "memory", OK, "maxmemory"),
        ({"used_memory": "990000000"}, "memory", WARNING, "its machine's memory"),
        ({"total_system_memory": None}, "memory", OK, "without maxmemory"),
        ({"aof_enabled": "0"}, "persistence", WARNING, "1m00s ago, and 3 changes"),
        ({"rdb_last_bgsave_status": "err"}, "persistence", PROBLEM, "last snapshot"),
        ({"aof_last_write_status": "err"}, "persistence", PROBLEM, "last write"),
        ({"connected_clients": "9500"}, "clients", WARNING, "9500 of 10000"),
    ],
)
def test_each_fault_of_a_server_is_found(
    changed: dict[str, str | None], check: str, verdict: Verdict, said: str
) -> None:
    info = {k: v for k, v in {**INFO, **changed}.items() if v is not None}
    found = told(server.judge(replace(HEALTHY, info=info)))
    finding = found.pop(f"redis {check}")
    assert finding.verdict is verdict
    assert said in f"{finding.text}; {finding.remedy}"
    assert {f.verdict for f in found.values()} == {OK}


def test_info_that_is_refused_leaves_the_rest_to_be_checked() -> None:
    found = told(server.judge(ServerFacts({}, "NOPERM", skew=60.0)))
    unseen = {check for check, f in found.items() if f.verdict is UNCHECKED}
    assert unseen == {check for check in found if check.startswith("redis ")}
    assert all("NOPERM" in found[check].text for check in unseen)
    assert found["clock"].verdict is WARNING
    assert found["tracking"].verdict is OK


@pytest.mark.parametrize(
    ("skew", "round_trip", "said"),
    [
        (0.9, 0.0, None),
        (-0.9, 0.0, None),
        (1.5, 0.0, "1.5s ahead of"),
        (-90.0, 0.0, "1m30s behind"),
        (1.5, 2.0, None),  # half of a slow answer may be the whole difference
    ],
)
def test_a_clock_that_differs(skew: float, round_trip: float, said: str | None) -> None:
    facts = replace(HEALTHY, skew=skew, round_trip=round_trip)
    found = told(server.judge(facts))["clock"]
    assert found.verdict is (WARNING if said else OK)
    assert (said or "") in found.text


def test_without_tracking_workers_poll() -> None:
    found = told(server.judge(replace(HEALTHY, is_tracking=False)))["tracking"]
    assert (found.verdict, "interval" in found.text) == (WARNING, True)


@pytest.mark.parametrize(
    ("registered", "verdict", "said"),
    [
        (RegistryFacts({"working": ("a",), "idle": ("b",)}), OK, "2 workers alive"),
        (RegistryFacts({}), WARNING, "no worker is alive"),
        (RegistryFacts({"idle": ("b",), "dead": ("c",)}), WARNING, "1 worker dead: c"),
        (
            RegistryFacts({"idle": ("b",), "silent": tuple("cdefghi")}),
            WARNING,
            "7 workers silent: c, d, e, f, g and 2 more",
        ),
        (RegistryFacts({"idle": ("b",), "unknown": ("c",)}), WARNING, "unknown: c"),
        (RegistryFacts({"idle": ("b",)}, ahead=("b",)), WARNING, "of the future: b"),
    ],
)
def test_the_registry(registered: RegistryFacts, verdict: Verdict, said: str) -> None:
    found = told(server.judge_registry(registered))["registry"]
    assert found.verdict is verdict
    assert said in found.text


def test_the_configuration() -> None:
    found = application.judge_configuration("x.toml", ("x.toml: a", "x.toml: b"), 0)
    assert (found.verdict, found.text) == (PROBLEM, "x.toml: a; x.toml: b")
    found = application.judge_configuration("x.toml", (), 4)
    assert (found.verdict, "4 workers" in found.text) == (OK, True)
    assert application.judge_configuration("", (), 0).verdict is OK


TRIED = Import(("app",), seconds=0.5, declared=("A", "B"))


@pytest.mark.parametrize(
    ("result", "check", "verdict", "said"),
    [
        (TRIED, "application", OK, "imported in 0.5s, 2 jobs"),
        (replace(TRIED, error="no"), "application", PROBLEM, "app: no"),
        (replace(TRIED, error="no"), "threads", UNCHECKED, "cannot be imported"),
        (replace(TRIED, error="no"), "sockets", UNCHECKED, "cannot be imported"),
        (TRIED, "threads", OK, ""),
        (TRIED, "sockets", OK, ""),
        (replace(TRIED, threads=("metrics",)), "threads", WARNING, "metrics"),
        (replace(TRIED, sockets=("tcp to h:1",)), "sockets", WARNING, "tcp to h:1"),
    ],
)
def test_the_application(
    result: Import, check: str, verdict: Verdict, said: str
) -> None:
    found = told(application.judge(result))
    assert set(found) == {"application", "threads", "sockets"}
    assert found[check].verdict is verdict
    assert said in found[check].text


@pytest.mark.parametrize(
    ("place", "verdict", "said"),
    [
        (ControlDirectory("/run/x", exists=False), OK, "not there yet"),
        (ControlDirectory("/run/x", exists=True), OK, "no master is running"),
        (ControlDirectory("/run/x", exists=True, masters=(7, 8)), OK, "7, 8"),
        (ControlDirectory("/run/x", exists=True, fault="bad"), PROBLEM, "bad"),
        (
            ControlDirectory("/run/x", exists=True, unanswered=("/run/x/1",)),
            WARNING,
            "/run/x/1",
        ),
    ],
)
def test_the_control_directory(
    place: ControlDirectory, verdict: Verdict, said: str
) -> None:
    found = told([application.judge_control(place)])["control"]
    assert found.verdict is verdict
    assert said in found.text


HOST = HostLimits(
    open_files=1024,
    processes={"pid_max": 30_000},
    memory=8 << 30,
    overcommit=0,
    has_cgroup_memory=True,
    kernel="6.8.0",
    has_collapse=True,
)
PLAN = Plan(4, memory=4 << 30, is_limited=True)


def test_a_machine_that_suffices_is_not_doubted() -> None:
    assert {f.verdict for f in machine.judge(HOST, PLAN)} == {OK}


@pytest.mark.parametrize(
    ("host", "plan", "check", "verdict", "said"),
    [
        (HOST, Plan(500), "open files", PROBLEM, "500 workers want 2064"),
        (replace(HOST, open_files=None), Plan(500), "open files", OK, "no limit"),
        (
            replace(HOST, processes={"pid_max": 30_000, "RLIMIT_NPROC": 17}),
            PLAN,
            "processes",
            WARNING,
            "room for 17 more (RLIMIT_NPROC)",
        ),
        (replace(HOST, processes={}), PLAN, "processes", OK, "no limit"),
        (HOST, replace(PLAN, memory=9 << 30), "memory limits", WARNING, "9 GB of 8 GB"),
        (HOST, Plan(4), "memory limits", OK, "not every job"),
        (replace(HOST, overcommit=2), PLAN, "overcommit", WARNING, "is 2"),
        (replace(HOST, has_cgroup_memory=None), PLAN, "cgroup", OK, "no cgroup v2"),
        (replace(HOST, has_cgroup_memory=False), PLAN, "cgroup", OK, "measuring"),
        (replace(HOST, has_collapse=False), PLAN, "kernel", OK, "no MADV_COLLAPSE"),
        (
            replace(HOST, refused={"memfd_create": "Operation not permitted"}),
            *(PLAN, "system calls", PROBLEM),
            "memfd_create(2): Operation not permitted",
        ),
        (
            replace(HOST, refused={"pidfd_open": "Function not implemented"}),
            *(PLAN, "system calls", WARNING),
            "pidfd_open(2): Function not implemented",
        ),
    ],
)
def test_each_fault_of_a_machine_is_found(
    host: HostLimits, plan: Plan, check: str, verdict: Verdict, said: str
) -> None:
    found = told(machine.judge(host, plan))[check]
    assert found.verdict is verdict
    assert said in found.text


def test_without_pools_what_depends_on_workers_is_not_checked() -> None:
    found = told(machine.judge(HOST, Plan(0)))
    unseen = {check for check, f in found.items() if f.verdict is UNCHECKED}
    assert unseen == {"open files", "processes", "memory limits"}


UNIT = {
    "KillMode": "mixed",
    "TimeoutStopUSec": "1min 30s",
    "OOMPolicy": "continue",
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"TimeoutStopUSec": "infinity"}, None),
        ({"TimeoutStopUSec": "9s"}, None),
        ({"TimeoutStopUSec": "8s 900ms"}, "TimeoutStopSec=8.9s"),
        ({"KillMode": "control-group"}, "KillMode=mixed"),
        ({"OOMPolicy": "stop"}, "OOMPolicy=continue"),
    ],
)
def test_the_settings_of_a_unit(changed: dict[str, str], said: str | None) -> None:
    found = told(machine.judge_unit("resqued.service", {**UNIT, **changed}, 9.0))
    finding = found["unit resqued.service"]
    assert finding.verdict is (WARNING if said else OK)
    assert (said or "") in f"{finding.text}; {finding.remedy}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1min 30s", 90.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
        ("2w 1d", 1_296_000.0),
        ("infinity", None),
        ("", None),
    ],
)
def test_the_spans_of_systemd(text: str, seconds: float | None) -> None:
    assert machine.span(text) == seconds
