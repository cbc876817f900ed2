"""Two virtual environments, and the environment of measured processes.

The peers have a virtual environment of their own, because the project must not depend
on them and their dependencies must not affect the project's versions. The project has
one without the tools of its development: some libraries import more if it is there
(structlog greenlet, msgspec typing_extensions), and each fork pays for that. Both are
created once.
"""

import hashlib
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from errors import BenchError

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
JOBS = BENCH / "jobs"
PINS = BENCH / "peers.txt"
PEERS = ROOT / ".venv-bench"
PROJECT = ROOT / ".venv-bench-project"

# Variables that configure the measured libraries; those of the shell must not apply.
FOREIGN = ("RESQUED_", "RQ_", "CELERY_", "DRAMATIQ_", "HUEY_", "BENCH_REDIS")
FOREIGN_NAMES = {"QUEUE", "QUEUES", "COUNT", "INTERVAL", "VERBOSE", "REDIS_URL"}


def peers_python(say: Callable[[str], None]) -> str:
    """Return the path of the peers' Python; create its environment if necessary.

    Raises BenchError if the peers cannot be installed.
    """
    return _python(PEERS, "the peers", PINS, ["-r", str(PINS)], say)


def project_python(say: Callable[[str], None]) -> str:
    """Return the path of a Python with the project as its users install it.

    Raises BenchError if the project cannot be installed.
    """
    wanted = ["-e", f"{ROOT}[embedded]"]
    return _python(PROJECT, "the project", ROOT / "pyproject.toml", wanted, say)


def _python(
    home: Path, what: str, source: Path, wanted: list[str], say: Callable[[str], None]
) -> str:
    """Return the Python of an environment, which is created again if its source has
    changed.
    """
    python, stamp = home / "bin" / "python", home / "stamp"
    fingerprint = _fingerprint(source)
    if not (stamp.exists() and stamp.read_text() == fingerprint):
        say(f"creating {home.name} for {what}, once")
        _run([sys.executable, "-m", "venv", "--clear", str(home)], what)
        install = [str(python), "-m", "pip", "install", "--quiet"]
        _run([*install, "--disable-pip-version-check", *wanted], what)
        stamp.write_text(fingerprint)  # last, so that an incomplete one has none
    return str(python)


def child_environment(url: str, scratch: Path) -> dict[str, str]:
    """Return the environment of a measured process.

    Temporary and runtime files go to the folder `scratch`, which is deleted at the end.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN_NAMES and not name.startswith(FOREIGN)
    }
    return inherited | {
        "BENCH_REDIS_URL": url,
        "PYTHONPATH": str(JOBS),
        "TMPDIR": str(scratch),
        "XDG_RUNTIME_DIR": str(scratch),
    }


def _fingerprint(source: Path) -> str:
    content = hashlib.sha256(source.read_bytes()).hexdigest()
    return f"{platform.python_version()} {ROOT} {content}\n"


def _run(command: list[str], what: str) -> None:
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        lines = outcome.stderr.strip().splitlines() or ["no message"]
        raise BenchError(f"{what} could not be installed: {lines[-1]}")
