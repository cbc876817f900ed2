"""Which configuration file is read, if no option names one."""

from __future__ import annotations

from pathlib import Path

import pytest

from resqued.config import loader, locations
from resqued.config.locations import file_in_use, usual_paths
from resqued.errors import ConfigError


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the host, which is not there yet."""
    path = tmp_path / "etc" / "resqued.toml"
    path.parent.mkdir()
    monkeypatch.setattr(locations, "DEFAULT_PATH", path)
    return path


def own(base: Path) -> Path:
    path = base / "resqued" / "resqued.toml"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_the_files_are_tried_in_order(host: Path, tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "home")}
    assert file_in_use(None, environ) is None
    host.touch()
    assert file_in_use(None, environ) == host
    of_home = own(tmp_path / "home" / ".config")
    assert file_in_use(None, environ) == of_home
    of_xdg = own(tmp_path / "xdg")
    environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")
    assert file_in_use(None, environ) == of_xdg
    environ["RESQUED_CONFIG"] = "/b"
    assert file_in_use(None, environ) == Path("/b")
    assert file_in_use("/a", environ) == Path("/a")


@pytest.mark.parametrize("home", ["", "relative"])
def test_without_a_home_there_is_the_file_of_the_host_alone(
    host: Path, home: str
) -> None:
    environ = {"HOME": home, "XDG_CONFIG_HOME": home}
    assert usual_paths(environ) == [host]
    assert file_in_use(None, environ) is None


def test_a_file_that_is_there_and_cannot_be_read_is_no_missing_file(
    host: Path,
) -> None:
    host.symlink_to(host.parent / "gone")
    assert file_in_use(None, {}) == host
    with pytest.raises(ConfigError, match="does not exist"):
        loader.load(host)
    host.unlink()
    host.mkdir()
    assert file_in_use(None, {}) == host
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        loader.load(host)
