"""resqued itself. What the benchmark uses of its command line is here; what it uses of
the library is in jobs/resqued_jobs.py.
"""

import functools
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from peers.peer import JOBS, QUEUE, Launch, Peer


def _command(launch: Launch) -> list[str]:
    burst = ["--burst"] if launch.burst else []
    return [
        *(launch.python, "-m", "resqued", "work", QUEUE),
        *("-n", str(launch.workers), "-a", launch.app, "--redis", launch.url),
        *("--log-level", "warning", *burst),
    ]


@functools.cache
def _problem() -> str | None:
    """Return why `resqued work` cannot be measured, or None."""
    if importlib.util.find_spec("resqued") is None:
        return "the package is not installed beside this Python"
    probe = [sys.executable, "-m", "resqued", "work", "--help"]
    outcome = subprocess.run(probe, capture_output=True, check=False)
    return "there is no command `resqued work`" if outcome.returncode else None


RESQUED = Peer(
    key="resqued",
    title="resqued",
    command=_command,
    producer="resqued_jobs",
    app="noop_jobs",
    isolation="a fork per job",
    bulk="`Client.enqueue_many`",
    raw=True,
    in_project=True,
    problem=_problem,
)

_NO_HISTORY = Path(__file__).parent / "no_history.toml"


def _without_history(launch: Launch) -> list[str]:
    return [*_command(launch), "-c", str(_NO_HISTORY)]


# What the history of runs costs a job is the difference to this one.
RESQUED_WITHOUT_HISTORY = replace(
    RESQUED,
    key="resqued-no-history",
    title="resqued, history `off`",
    command=_without_history,
    parts=(JOBS,),
)

_STAYING = Path(__file__).parent / "staying.toml"


def _staying(launch: Launch) -> list[str]:
    return [*_command(launch), "-c", str(_STAYING)]


# Its children stay for a thousand jobs, as those of other libraries do.
RESQUED_STAYING = replace(
    RESQUED,
    key="resqued-staying",
    title="resqued, `jobs_per_child = 1000`",
    command=_staying,
    isolation="a fork per 1,000 jobs",
    scale=4,
    parts=(JOBS,),
)
