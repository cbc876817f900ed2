"""Who can change a directory, and where root imports nothing: real users and modes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from resqued.system import ownership
from tests.support.cli import RESQUED
from tests.support.daemon import clean_environment
from tests.support.forking import run_in_child

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes another user: be root")


def become_nobody() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def test_a_process_is_of_the_user_that_it_runs_as() -> None:
    assert ownership.process_user(os.getpid()) == os.getuid()
    assert ownership.process_user(1 << 22) is None


@as_root
def test_a_directory_is_as_safe_as_those_above_it(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    assert ownership.foreign_writer(place, uid=0) == ""
    for path, owner, mode, reason in (
        (place, NOBODY, 0o755, f"{place} belongs to nobody"),
        (place, 0, 0o775, f"{place} can be written by others (mode 775)"),
        (place, 0, 0o1777, f"{place} can be written by others (mode 1777)"),
        (place.parent, NOBODY, 0o755, f"{place.parent} belongs to nobody"),
        (place.parent, 0, 0o777, f"{place.parent} can be written by others (mode 777)"),
        # There only owners can rename, as in /tmp.
        (place.parent, 0, 0o1777, ""),
    ):
        os.chown(path, owner, owner)
        path.chmod(mode)
        assert ownership.foreign_writer(place, uid=0) == reason
        os.chown(path, 0, 0)
        path.chmod(0o755)
    os.chown(place, NOBODY, NOBODY)
    assert ownership.foreign_writer(place, uid=NOBODY) == ""
    link = tmp_path / "link"
    link.symlink_to(place)
    assert ownership.foreign_writer(link, uid=0) == f"{place} belongs to nobody"


@as_root
def test_another_user_imports_where_not_everybody_can_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    def look() -> None:
        os.chdir(tmp_path)
        become_nobody()
        here = Path()
        assert ownership.distrust_of_code(here, is_named=False) == ""

    run_in_child(look)
    tmp_path.chmod(0o777)

    def look_again() -> None:
        os.chdir(tmp_path)
        become_nobody()
        reason = ownership.distrust_of_code(Path(), is_named=False)
        assert reason.startswith(". can be written by every user")
        assert ownership.distrust_of_code(Path(), is_named=True) == ""

    run_in_child(look_again)


@as_root
@pytest.mark.parametrize("command", ["work", "doctor", "why"])
@pytest.mark.parametrize("is_named", [False, True], ids=["cwd", "directory"])
def test_root_imports_nothing_that_another_user_can_change(
    command: str, is_named: bool, redis_url: str, tmp_path: Path
) -> None:
    place = tmp_path / "app"
    place.mkdir()
    # Code at the import, and in place of a module that resqued imports itself.
    for name in ("photos", "redis", "json"):
        (place / f"{name}.py").write_text("open('ran', 'w')\n")
    os.chown(place, NOBODY, NOBODY)
    config = tmp_path / "resqued.toml"
    directory = f'directory = "{place}"' if is_named else ""
    config.write_text(
        f'[app]\nimport = ["photos"]\n{directory}\n[redis]\nurl = "{redis_url}"\n'
    )
    arguments = {"work": ["resize"], "doctor": [], "why": ["Photo", "-q", "resize"]}[
        command
    ]
    done = subprocess.run(
        [*RESQUED, command, *arguments, "-c", str(config)],
        cwd=tmp_path if is_named else place,
        env={**clean_environment(), "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert not (place / "ran").exists()
    told = done.stdout + done.stderr
    assert f"{place} belongs to nobody, and this process runs as root" in told
    if command == "work":
        assert done.returncode == 78


def test_what_imports_nothing_may_run_anywhere(redis_url: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    done = subprocess.run(
        [*RESQUED, "work", "q", "--burst", "-r", redis_url],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
