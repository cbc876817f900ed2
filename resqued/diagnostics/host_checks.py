"""Findings about the host: descriptors, processes, memory, kernel, systemd units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from resqued.core.durations import show_seconds, show_size
from resqued.core.plural import pluralize
from resqued.diagnostics.checks import Finding, ok, problem, unchecked, warning
from resqued.system import system_calls

# The descriptors that the master holds for each worker (channel, scoreboard, exit),
# and the other descriptors of master and worker.
FILES_PER_WORKER = 4
FILES = 64
# Master and zygote; then for each worker: the worker, a child with a job, a waiting
# child, and a process that the job starts.
PROCESSES = 2
PROCESSES_PER_WORKER = 4
STRICT_OVERCOMMIT = 2


class HostLimits(Struct, frozen=True):
    """The limits and properties of this host; None means no limit.

    `processes` are the limits of the number of processes: the name of each, and how
    many more processes it allows. `memory` is that of the host, or of the cgroup if
    that is less, in bytes. `has_cgroup_memory` is True if this process has the memory
    controller of cgroup version 2; None without version 2. `has_collapse` is True if
    MADV_COLLAPSE works. `refused` are the system calls that the kernel refuses, with
    the reasons.
    """

    open_files: int | None
    processes: Mapping[str, int]
    memory: int
    overcommit: int
    has_cgroup_memory: bool | None
    kernel: str
    has_collapse: bool
    refused: Mapping[str, str] = field(default_factory=dict)


class Plan(Struct, frozen=True):
    """The needs of the pools: workers, and the sum of their memory limits in bytes.

    `is_limited` is True if every worker has a memory limit.
    """

    workers: int
    memory: int = 0
    is_limited: bool = False


def judge(machine: HostLimits, plan: Plan) -> Iterator[Finding]:
    """Yield the findings about a host that is to run a plan."""
    if plan.workers:
        yield _open_files(machine, plan)
        yield _processes(machine, plan)
        yield _memory(machine, plan)
    else:
        reason = "the configuration has no [[pool]], so the number of workers is open"
        for check in ("open files", "processes", "memory limits"):
            yield unchecked(check, reason)
    yield _overcommit(machine)
    yield _cgroup(machine)
    yield _kernel(machine)
    yield from _system_calls(machine)


def _open_files(machine: HostLimits, plan: Plan) -> Finding:
    check, need = "open files", FILES + FILES_PER_WORKER * plan.workers
    if machine.open_files is None:
        return ok(check, "no limit")
    text = (
        f"limit {machine.open_files}, {pluralize(plan.workers, 'worker')} want {need}"
    )
    if machine.open_files < need:
        return problem(check, text, "raise LimitNOFILE of the unit, or `ulimit -n`")
    return ok(check, text)


def _processes(machine: HostLimits, plan: Plan) -> Finding:
    check, need = "processes", PROCESSES + PROCESSES_PER_WORKER * plan.workers
    wanted = f"{pluralize(plan.workers, 'worker')} want {need}"
    if not machine.processes:
        return ok(check, f"no limit, {wanted}")
    name, room = min(machine.processes.items(), key=lambda item: item[1])
    text = f"room for {room} more ({name}), {wanted}"
    if room < need:
        return warning(check, text, "raise LimitNPROC or TasksMax of the unit")
    return ok(check, text)


def _memory(machine: HostLimits, plan: Plan) -> Finding:
    check = "memory limits"
    there = show_size(machine.memory)
    if not plan.is_limited:
        return ok(check, f"not every job has one; the machine has {there}")
    text = f"all jobs together may use {show_size(plan.memory)} of {there}"
    if plan.memory > machine.memory:
        return warning(
            check,
            f"{text}: the kernel would kill before a limit is reached",
            "lower [limits] memory, or the number of workers",
        )
    return ok(check, text)


def _overcommit(machine: HostLimits) -> Finding:
    check = "overcommit"
    if machine.overcommit == STRICT_OVERCOMMIT:
        return warning(
            check,
            "vm.overcommit_memory is 2: each fork counts as a copy of the application",
            "set vm.overcommit_memory to 0 or 1",
        )
    return ok(check, f"vm.overcommit_memory is {machine.overcommit}: forks are cheap")


def _cgroup(machine: HostLimits) -> Finding:
    check = "cgroup"
    measured = "limits of memory are kept by the master's own measuring"
    match machine.has_cgroup_memory:
        case None:
            return ok(check, f"no cgroup v2 here; {measured}")
        case False:
            return ok(check, f"no memory controller delegated; {measured}")
    return ok(check, f"memory controller delegated, but not needed: {measured}")


def _system_calls(machine: HostLimits) -> Iterator[Finding]:
    for name, reason in machine.refused.items():
        check, text = "system calls", system_calls.lacks(name, reason)
        if name in system_calls.REQUIRED:
            text += "; no master starts without it"
            yield problem(check, text, system_calls.REMEDY)
        else:
            text += "; `resqued stop` looks at the master ten times a second instead"
            yield warning(check, text, f"{system_calls.REMEDY}; Linux has it from 5.3")


def _kernel(machine: HostLimits) -> Finding:
    check = "kernel"
    if machine.has_collapse:
        return ok(check, f"Linux {machine.kernel}: MADV_COLLAPSE makes forks cheaper")
    return ok(
        check,
        f"Linux {machine.kernel} has no MADV_COLLAPSE (from 6.1, with huge pages):"
        " forks of a large application cost more",
    )


def judge_unit(name: str, shown: Mapping[str, str], grace: float) -> Iterator[Finding]:
    """Yield the findings about a unit; `shown` is the output of `systemctl show`.

    `grace` is how many seconds its jobs may need to end and to be recorded.
    """
    check = f"unit {name}"
    faults = list(_unit_faults(shown, grace))
    for text, remedy in faults:
        yield warning(check, text, remedy)
    if not faults:
        yield ok(check, "its settings fit")


def _unit_faults(shown: Mapping[str, str], grace: float) -> Iterator[tuple[str, str]]:
    kill_mode = shown.get("KillMode", "")
    if kill_mode != "mixed":
        yield (
            f"KillMode={kill_mode}: systemd would signal workers behind the master",
            "set KillMode=mixed",
        )
    stop = span(shown.get("TimeoutStopUSec", ""))
    if stop is not None and stop < grace:
        text = (
            f"TimeoutStopSec={show_seconds(stop)} is less than the graces of job and"
            f" Redis ({show_seconds(grace)}): jobs could be killed unrecorded"
        )
        yield text, f"set TimeoutStopSec={grace:.0f}s or more"
    policy = shown.get("OOMPolicy", "continue")
    if policy != "continue":
        yield (
            f"OOMPolicy={policy}: one job out of memory would take the master along",
            "set OOMPolicy=continue",
        )


_SPANS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
}
_PART = re.compile(r"([\d.]+)\s*(us|ms|s|min|h|d|w)\b")


def span(text: str) -> float | None:
    """Return the seconds of a time span of systemd, such as "1min 30s".

    None means that it has no limit.
    """
    if not _PART.search(text):
        return None
    return sum(float(number) * _SPANS[unit] for number, unit in _PART.findall(text))
