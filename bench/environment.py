"""The virtual environment of the peers, and the environment of measured processes.

The peers have a separate virtual environment, which is created once: the project must
not depend on them, and their dependencies must not affect the project's versions.
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
HOME = ROOT / ".venv-bench"
STAMP = HOME / "stamp"

# Variables that configure the measured libraries; those of the shell must not apply.
FOREIGN = ("RESQUED_", "RQ_", "CELERY_", "DRAMATIQ_", "HUEY_", "BENCH_REDIS")
FOREIGN_NAMES = {"QUEUE", "QUEUES", "COUNT", "INTERVAL", "VERBOSE", "REDIS_URL"}


def peers_python(say: Callable[[str], None]) -> str:
    """Return the path of the peers' Python; create its environment if necessary.

    Raises BenchError if the peers cannot be installed.
    """
    python = HOME / "bin" / "python"
    wanted = _fingerprint()
    if not (STAMP.exists() and STAMP.read_text() == wanted):
        say("creating .venv-bench for the peers, once")
        _run([sys.executable, "-m", "venv", "--clear", str(HOME)])
        install = [str(python), "-m", "pip", "install", "--quiet"]
        _run([*install, "--disable-pip-version-check", "-r", str(PINS)])
        STAMP.write_text(wanted)  # last, so that an incomplete environment has none
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


def _fingerprint() -> str:
    pins = hashlib.sha256(PINS.read_bytes()).hexdigest()
    return f"{platform.python_version()} {pins}\n"


def _run(command: list[str]) -> None:
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    if outcome.returncode:
        lines = outcome.stderr.strip().splitlines() or ["no message"]
        raise BenchError(f"the peers could not be installed: {lines[-1]}")
