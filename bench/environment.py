"""Where the libraries come from, and what their processes see.

The peers get a virtual environment of their own, made once: the project must never
depend on them, nor their dependencies decide the versions that the project sees.
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

# Settings of libraries that are measured here; a shell's must not leak in.
FOREIGN = ("RESQUED_", "RQ_", "CELERY_", "DRAMATIQ_", "HUEY_", "BENCH_REDIS")
FOREIGN_NAMES = {"QUEUE", "QUEUES", "COUNT", "INTERVAL", "VERBOSE", "REDIS_URL"}


def peers_python(say: Callable[[str], None]) -> str:
    """Answer the interpreter that has the peers, making its environment at need."""
    python = HOME / "bin" / "python"
    wanted = _fingerprint()
    if not (STAMP.exists() and STAMP.read_text() == wanted):
        say("making .venv-bench for the peers, once")
        _run([sys.executable, "-m", "venv", "--clear", str(HOME)])
        install = [str(python), "-m", "pip", "install", "--quiet"]
        _run([*install, "--disable-pip-version-check", "-r", str(PINS)])
        STAMP.write_text(wanted)  # last, so that half an environment has none
    return str(python)


def child_environment(url: str, scratch: Path) -> dict[str, str]:
    """What a measured process finds in its environment.

    Temporary and runtime files go to the scratch folder, which is deleted.
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
