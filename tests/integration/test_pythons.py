"""Finding the other Pythons of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import pythons


def program(place: Path, name: str, *, prints: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    path = place / name
    path.write_text(f"#!/bin/sh\n{prints}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Python, whose programs are in `bin` and pyenv's folder."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_each_supported_version_is_found_once_and_oldest_first(machine: Path) -> None:
    program(machine / "pyenv/versions/3.98.1/bin", "python3.98", prints="echo 3 98")
    program(machine / "pyenv/versions/3.99.0/bin", "python3.99", prints="echo 3 99")
    first = program(machine / "bin", "python3.99", prints="echo 3 99")
    found = pythons.others()
    assert list(found) == [(3, 98), (3, 99)]
    assert found[3, 99] == first


def test_a_shim_of_a_version_that_is_not_chosen_is_passed_over(machine: Path) -> None:
    program(machine / "bin", "python3.99", prints="echo not chosen >&2; exit 127")
    path = program(
        machine / "pyenv/versions/3.99.0/bin", "python3.99", prints="echo 3 99"
    )
    assert pythons.others() == {(3, 99): path}


def test_this_one_and_those_that_are_too_old_are_left_out(machine: Path) -> None:
    here = ".".join(map(str, sys.version_info[:2]))
    program(machine / "bin", f"python{here}", prints=f"echo {here.replace('.', ' ')}")
    program(machine / "bin", "python3.10", prints="echo 3 10")
    program(machine / "bin", "python3.99-config", prints="echo 3 99")
    assert pythons.others() == {}


def test_a_python_without_venv_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pythons, "ROOT", tmp_path)
    bare = program(tmp_path, "python3.99", prints="exit 1")
    assert pythons.environment((3, 99), bare) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"not tested with Python 3.99: {bare} has no venv or no pip"


def test_those_of_this_machine_are_what_they_are_called() -> None:
    for version, path in pythons.others().items():
        asked = subprocess.check_output([path, "-c", pythons.ITS_VERSION], text=True)
        assert asked.split() == list(map(str, version))
