"""`resqued service` into a directory, as packagers use it: no systemd is told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.cli import fail, run_command
from tests.support.wheel import build

ROOT = Path(__file__).parents[2]
UNIT = "usr/lib/systemd/system/resqued.service"


def service(root: Path, *words: str) -> list[str]:
    """Run a command on what is below a directory, and return its lines."""
    where = ("--root", str(root), "--prefix", "/usr", "--program", "/usr/bin/resqued")
    done = run_command("service", *words, *where, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def there(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir()}


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    lines = service(tmp_path, "install", "--dry-run")
    assert f"written    {tmp_path / UNIT}" in lines
    assert lines[-1] == "nothing was done: --dry-run"
    assert there(tmp_path) == set()


def test_files_go_where_packages_have_them(tmp_path: Path) -> None:
    service(tmp_path, "install")
    assert there(tmp_path) >= {
        UNIT,
        "usr/lib/systemd/system/resqued@.service",
        "usr/lib/systemd/system/resqued.slice",
        "usr/lib/systemd/system/resqued.target",
        "usr/lib/sysusers.d/resqued.conf",
        "usr/lib/tmpfiles.d/resqued.conf",
        "usr/share/man/man8/resqued.8",
        "usr/share/man/man5/resqued.toml.5",
        "usr/share/bash-completion/completions/resqued",
        "usr/share/zsh/site-functions/_resqued",
        "usr/share/fish/vendor_completions.d/resqued.fish",
        "etc/logrotate.d/resqued",
        "etc/resqued/resqued.toml",
    }
    configuration = tmp_path / "etc/resqued/resqued.toml"
    assert configuration.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / UNIT).stat().st_mode & 0o777 == 0o644
    checked = run_command("config", "check", str(configuration), cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr


def test_what_was_installed_is_removed_and_nothing_else(tmp_path: Path) -> None:
    service(tmp_path, "install")
    mine = tmp_path / "etc/resqued/mine.toml"
    mine.touch()
    lines = service(tmp_path, "uninstall")
    assert all(line.startswith("removed ") for line in lines)
    assert there(tmp_path) == {"etc/resqued/mine.toml"}
    lines = service(tmp_path, "uninstall")
    assert all(line.startswith("missing ") for line in lines)


def test_status_tells_of_each_file(tmp_path: Path) -> None:
    service(tmp_path, "install")
    (tmp_path / UNIT).write_text("changed\n")
    (tmp_path / "etc/logrotate.d/resqued").unlink()
    found = json.loads("\n".join(service(tmp_path, "status", "--json")))
    states = {path: s for path, s in found["files"].items() if s != "unchanged"}
    assert states == {
        str(tmp_path / UNIT): "changed",
        str(tmp_path / "etc/logrotate.d/resqued"): "missing",
    }
    assert any(line.startswith("changed ") for line in service(tmp_path, "status"))


@pytest.mark.skipif(not shutil.which("systemctl"), reason="no systemctl")
def test_an_instance_is_enabled_for_the_next_boot(tmp_path: Path) -> None:
    lines = service(tmp_path, "install", "--instance", "critical,high")
    assert lines[-1] == r"enabled    resqued@critical\x2chigh.service"
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    assert [link.name for link in wants.iterdir()] == [lines[-1].split()[1]]
    assert lines[-1].split()[1] in service(tmp_path, "status")[-1]
    service(tmp_path, "uninstall")
    assert there(tmp_path) == set()


def test_mistakes_are_told_in_a_line(tmp_path: Path) -> None:
    [line] = fail("service", "install", "--prefix", "usr", cwd=tmp_path, status=2)
    assert line.startswith("--prefix usr must begin with a /")
    words = ("service", "install", "--root", str(tmp_path), "--instance", "")
    [line] = fail(*words, cwd=tmp_path, status=2)
    assert line.startswith("--instance needs a name")
    (tmp_path / "etc").touch()
    done = run_command("service", "install", "--root", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"resqued: {tmp_path}/etc")


@pytest.mark.skipif(os.geteuid() != 0, reason="changes user")
def test_the_units_of_the_system_are_for_root(tmp_path: Path) -> None:
    code = "import os; os.setuid(65534); from resqued.cli import main; main()"
    # Who is nobody need not be able to read where the tests are: import first.
    code = f"import resqued.cli.service; {code}"
    done = subprocess.run(
        [sys.executable, "-c", code, "service", "install"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    assert done.returncode == 1
    assert done.stderr.startswith("resqued: the units of the whole system are root's")


def test_a_wheel_has_the_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        names = set(wheel.namelist())
    for folder in ("contrib/systemd", "contrib/logrotate", "man"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file():
                inside = path.relative_to(ROOT / folder)
                assert f"resqued/systemd/share/{Path(folder).name}/{inside}" in names
    web = ROOT / "resqued" / "web"
    for path in (*web.glob("templates/**/*"), *web.glob("static/**/*")):
        inside = path.relative_to(ROOT)
        assert path.is_dir() or str(inside) in names
        if path.name == "LICENSE":
            assert any(name.endswith(f".dist-info/licenses/{inside}") for name in names)
