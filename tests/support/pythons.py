"""The unit tests with every other Python that resqued supports and this machine has.

    python -m tests.support.pythons

Each has a virtual environment of its own, which is made once: .venv-3.12 and so on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLDEST = (3, 11)
REQUIREMENTS = ROOT / "requirements-unit.txt"
PROJECT = ROOT / "pyproject.toml"
ITS_VERSION = "import sys; print(*sys.version_info[:2])"
OF_EACH = ("-m", "not sources", "tests/unit")
# What Debian packages apart from Python itself.
MAKES_VENVS = "import venv, ensurepip"


def candidates() -> Iterator[Path]:
    """Return what may be another Python: on PATH, and where pyenv keeps them."""
    for folder in os.get_exec_path():
        yield from sorted(Path(folder).glob("python3.[0-9]*"))
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/*/bin/python3.[0-9]*"))


def others() -> dict[tuple[int, int], Path]:
    """Return the other supported Pythons, one of each version, oldest first."""
    found: dict[tuple[int, int], Path] = {}
    for program in candidates():
        named = re.fullmatch(r"python3\.(\d+)", program.name)
        version = (3, int(named[1])) if named else (0, 0)
        if version < OLDEST or version == sys.version_info[:2] or version in found:
            continue
        # Not all that is called so can be run: pyenv's shims are there for those
        # as well that are not chosen.
        said = _ask(program, ITS_VERSION)
        if version not in found and said.split() == [str(part) for part in version]:
            found[version] = program
    return dict(sorted(found.items()))


def environment(version: tuple[int, int], program: Path) -> Path | None:
    """Return the Python of the environment; None, and a line, if there can be none."""
    name = ".".join(map(str, version))
    place = ROOT / f".venv-{name}"
    python, stamp = place / "bin" / "python", place / ".installed"
    sources = (PROJECT, REQUIREMENTS)
    if stamp.exists() and all(
        each.stat().st_mtime <= stamp.stat().st_mtime for each in sources
    ):
        return python
    if _run(program, "-c", MAKES_VENVS).returncode:
        print(f"not tested with Python {name}: {program} has no venv or no pip")
        return None
    shutil.rmtree(place, ignore_errors=True)
    dependencies = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["dependencies"]
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for step in (
        (program, "-m", "venv", str(place)),
        (python, *pip, *dependencies, "-r", str(REQUIREMENTS)),
    ):
        done = _run(*step)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"not tested with Python {name}: {reason}")
            return None
    stamp.touch()
    return python


def run_tests(version: tuple[int, int], program: Path) -> int:
    """Run the unit tests with one, print their output, and return pytest's code."""
    python = environment(version, program)
    if python is None:
        return 0
    done = _run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *OF_EACH)
    name = ".".join(map(str, version))
    print(f"unit tests with Python {name}\n{done.stdout}{done.stderr}", flush=True)
    return done.returncode


def main() -> int:
    """Run the unit tests with each, side by side; return 1 if they fail with any."""
    found = others()
    with ThreadPoolExecutor() as pool:
        return int(any([*pool.map(run_tests, found.keys(), found.values())]))


def _run(program: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *args], cwd=ROOT, capture_output=True, text=True, check=False
    )


def _ask(program: Path, code: str) -> str:
    """Return what a program prints; nothing if it is no Python."""
    try:
        return _run(program, "-c", code).stdout
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
