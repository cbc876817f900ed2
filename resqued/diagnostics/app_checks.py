"""Findings about the configuration, the application, and the control directory."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from resqued.core.durations import show_seconds
from resqued.core.plural import join_names, pluralize
from resqued.diagnostics.checks import Finding, ok, problem, unchecked, warning
from resqued.diagnostics.import_result import Import
from resqued.system.process import OPENBLAS


def judge_configuration(path: str, problems: tuple[str, ...], workers: int) -> Finding:
    """Return the finding about the configuration; `path` is "" without a file.

    `problems` are its faults, `workers` the number of workers in its pools.
    """
    if problems:
        return problem(
            "configuration", "; ".join(problems), "correct it: `resqued config check`"
        )
    if not path:
        return ok("configuration", "no file: options, environment and defaults apply")
    pools = f"{pluralize(workers, 'worker')} in its pools"
    return ok("configuration", f"{path} is in order: {pools}")


def judge(imported: Import) -> Iterator[Finding]:
    """Yield the findings about an import of the application."""
    modules = join_names(imported.modules)
    if imported.error:
        yield problem(
            "application",
            f"{modules}: {imported.error}",
            "correct it: no worker can start",
        )
        yield unchecked("threads", "the application cannot be imported")
        yield unchecked("sockets", "the application cannot be imported")
        return
    took = show_seconds(imported.seconds)
    jobs = pluralize(len(imported.declared), "job")
    yield ok("application", f"{modules}: imported in {took}, {jobs} declared by name")
    yield _threads(imported)
    yield _sockets(imported)


def _threads(imported: Import) -> Finding:
    if not imported.threads:
        return ok("threads", "the import leaves none")
    remedy = "start them in the job, or when first needed"
    if OPENBLAS in imported.threads:
        remedy = (
            "those of OpenBLAS, often NumPy's, are harmless: OPENBLAS_NUM_THREADS=1 in"
            " the file of [app] environment avoids them; start others in the job"
        )
    return warning(
        "threads",
        f"the import leaves {pluralize(len(imported.threads), 'thread')} running:"
        f" {join_names(imported.threads)}; no child has them, and a lock that one"
        " holds at a fork stays held",
        remedy,
    )


def _sockets(imported: Import) -> Finding:
    if not imported.sockets:
        return ok("sockets", "the import opens none")
    return warning(
        "sockets",
        f"the import opens {pluralize(len(imported.sockets), 'connection')} that every"
        f" child would share: {join_names(imported.sockets)}",
        "connect in the job, or when first needed",
    )


class ControlDirectory(Struct, frozen=True):
    """The directory of the control sockets; `fault` is why masters refuse it.

    `masters` are the pids that answer, `unanswered` the sockets that do not.
    """

    path: str
    exists: bool
    fault: str = ""
    masters: tuple[int, ...] = ()
    unanswered: tuple[str, ...] = ()


def judge_control(place: ControlDirectory) -> Finding:
    """Return the finding about the directory of the control sockets."""
    check = "control"
    if place.fault:
        return problem(
            check,
            place.fault,
            "choose another [control] directory, or correct this one",
        )
    if not place.exists:
        return ok(check, f"{place.path} is not there yet: a master makes it")
    if place.unanswered:
        return warning(
            check,
            f"no answer from {join_names(place.unanswered)}",
            "its master was killed, is stopped, or is another user's; the next one"
            " takes away what the dead left",
        )
    pids = [str(pid) for pid in place.masters]
    masters = f"masters {join_names(pids)} answer" if pids else "no master is running"
    return ok(check, f"{place.path} is safe; {masters}")
