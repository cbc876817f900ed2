"""The units as they are written, and how a file of ours is told from an edited one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from resqued.errors import ResquedError
from resqued.systemd import installer
from resqued.systemd.installer import SHARE, File, FileState, InstallPaths, InstallRoot

ROOT = Path(__file__).parents[3]
SCRIPTS = {"bash": "a\n", "zsh": "b\n", "fish": "c\n"}
SYSTEM = installer.system(Path("/usr"))
USER = installer.user(Path("/home/anna"), {})


def written(
    layout: InstallPaths, program: str = "/opt/r/bin/resqued"
) -> dict[str, File]:
    files = installer.files(layout, Path(program), SCRIPTS)
    return {str(file.path): file for file in files}


def settings(name: str) -> list[str]:
    """Return the lines of a unit that are no comments."""
    text = (SHARE / "systemd" / name).read_text("utf-8")
    return [line for line in text.splitlines() if line and line[0] not in "#;"]


def test_what_is_in_contrib_is_in_the_package() -> None:
    for folder in ("systemd", "logrotate"):
        assert (SHARE / folder).resolve() == ROOT / "contrib" / folder
    assert (SHARE / "man").resolve() == ROOT / "man"


@pytest.mark.parametrize("folder", [".", "user"])
def test_the_services_differ_in_their_instance_alone(folder: str) -> None:
    one = set(settings(f"{folder}/resqued.service"))
    many = set(settings(f"{folder}/resqued@.service"))
    keys = {line.partition("=")[0] for line in one ^ many}
    assert keys <= {"Description", "ExecStart", "Environment", "EnvironmentFile"}


@pytest.mark.parametrize("name", ["resqued.service", "resqued@.service"])
def test_a_users_services_are_those_of_the_system_without_its_rights(name: str) -> None:
    system, user = set(settings(name)), set(settings(f"user/{name}"))
    added = {line.partition("=")[0] for line in user - system}
    assert added <= {"Environment", "EnvironmentFile", "RuntimeDirectory", "WantedBy"}
    gone = {line.partition("=")[0] for line in system - user}
    assert {"User", "Group", "Slice", "ProtectSystem"} <= gone


def test_units_start_the_program_of_this_installation() -> None:
    for layout in (SYSTEM, USER):
        files = written(layout)
        for name in ("resqued.service", "resqued@.service"):
            text = files[str(layout.units / name)].text
            assert "\nExecStart=/opt/r/bin/resqued work" in text
            assert "/usr/bin/resqued" not in text


@pytest.mark.parametrize(
    ("program", "quoted"),
    [
        ("/opt/my jobs/resqued", '"/opt/my jobs/resqued"'),
        ("/opt/50%/resqued", "/opt/50%%/resqued"),
        ("/opt/$x/resqued", "/opt/$$x/resqued"),
        ('/opt/"x"/resqued', r'"/opt/\"x\"/resqued"'),
    ],
)
def test_odd_paths_are_quoted(program: str, quoted: str) -> None:
    file = written(SYSTEM, program)["/usr/lib/systemd/system/resqued.service"]
    assert f"\nExecStart={quoted} work" in file.text


def test_no_name_of_a_program_becomes_another_line_of_the_unit() -> None:
    with pytest.raises(ResquedError, match="control character"):
        written(SYSTEM, "/opt/x\nExecStartPre=/bin/sh")


def test_directories_are_no_more_open_than_they_must_be(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        InstallRoot(tmp_path / "root").write(File(Path("/usr/lib/x/a"), "one\n"))
    finally:
        os.umask(before)
    for path in (tmp_path / "root").rglob("*"):
        assert path.stat().st_mode & 0o022 == 0, path
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o755


def test_files_of_a_user_stay_in_the_users_directories() -> None:
    assert all(path.startswith("/home/anna/.") for path in written(USER))
    environ = {"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "relative"}
    assert {
        path.split("/")[1]
        for path in written(installer.user(Path("/home/anna"), environ))
    } == {"c", "home"}


def test_a_changed_file_is_told_from_an_older_one(tmp_path: Path) -> None:
    place = InstallRoot(tmp_path)
    old, new = File(Path("/etc/a"), "one\n"), File(Path("/etc/a"), "two\n")
    assert place.state(new) is FileState.MISSING
    place.write(old)
    assert place.state(old) is FileState.SAME
    assert place.state(new) is FileState.OLDER
    path = place.path(new.path)
    path.write_text(path.read_text().replace("one", "One"))
    assert place.state(old) is place.state(new) is FileState.CHANGED
    path.write_bytes(b"\xff\xfe")
    assert place.state(new) is FileState.CHANGED
    path.write_text("one\n")
    assert place.state(old) is FileState.CHANGED


@pytest.mark.parametrize("path", ["/etc/a.conf", "/man/man8/resqued.8", "/x/_resqued"])
def test_the_stamp_is_a_comment_at_the_end(path: str) -> None:
    for content in ("one\n", "one"):
        *lines, last = File(Path(path), content).text.splitlines()
        assert lines == ["one"]
        assert last.startswith(("# ", '.\\" '))
        assert installer.is_untouched(File(Path(path), content).text)


def test_more_after_the_stamp_is_a_change() -> None:
    text = File(Path("/etc/a"), "one\n").text
    assert not installer.is_untouched(f"{text}more\n")
    assert not installer.is_untouched(f"more\n{text}")
    assert not installer.is_untouched("")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    place = InstallRoot(tmp_path)
    file = File(Path("/etc/a"), "one\n")
    place.path(file.path).mkdir(parents=True)
    assert place.state(file) is FileState.CHANGED
    with pytest.raises(OSError, match="directory"):
        place.write(file)
    assert [path.name for path in (tmp_path / "etc").iterdir()] == ["a"]
