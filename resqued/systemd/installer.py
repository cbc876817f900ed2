"""The files that `resqued service` installs on a host: their texts, paths and states.

The texts come with the package (`share/`). The last line of each installed file holds
a digest of all lines before it. It shows whether a file has been edited since, even
one of another version of resqued: unedited files are replaced and removed, edited
files are left alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from resqued.config import example_file
from resqued.errors import ResquedError

SHARE = Path(__file__).with_name("share")
# Where the units of the package expect the program.
_USUAL_PROGRAM = "/usr/bin/resqued"
_UNITS = (".service", ".slice", ".socket", ".target")
_STAMP = "resqued service replaces and removes this file while it is unchanged: sha256 "
_MANUAL = re.compile(r"\.[1-9]")


class FileState(Enum):
    """The state of a file on the host, compared with the text to be written."""

    MISSING = "missing"
    SAME = "unchanged"
    # Written by another version of resqued, and not edited since.
    OLDER = "outdated"
    # Edited, or not written by resqued.
    CHANGED = "changed"


class File(Struct, frozen=True):
    """A file to install.

    `content` is its text without the digest, `mode` its permissions. A file with
    `for_admin` is for the administrator to edit: it is written once and never replaced.
    """

    path: Path
    content: str
    mode: int = 0o644
    for_admin: bool = False

    @property
    def text(self) -> str:
        """The whole text, with the digest."""
        return with_checksum(self.content, _comment(self.path))


class InstallPaths(NamedTuple):
    """The directories to install to, on a host or for one user.

    `lib` and `logrotate` are None for a user, who has no such files.
    """

    units: Path
    # Where `systemctl enable` creates its symlinks.
    enabled: Path
    configuration: Path
    share: Path
    # Only for the whole host.
    lib: Path | None = None
    logrotate: Path | None = None


def system(prefix: Path) -> InstallPaths:
    """Return the directories for the whole host; `prefix` is /usr or /usr/local."""
    lib = prefix / "lib"
    return InstallPaths(
        units=lib / "systemd/system",
        enabled=Path("/etc/systemd/system"),
        configuration=Path("/etc/resqued"),
        share=prefix / "share",
        lib=lib,
        logrotate=Path("/etc/logrotate.d"),
    )


def user(home: Path, environ: Mapping[str, str]) -> InstallPaths:
    """Return the directories for one user (XDG Base Directory Specification)."""
    config = _base(environ, "XDG_CONFIG_HOME", home / ".config")
    data = _base(environ, "XDG_DATA_HOME", home / ".local/share")
    units = config / "systemd/user"
    return InstallPaths(units, units, config / "resqued", data)


def _base(environ: Mapping[str, str], name: str, usual: Path) -> Path:
    # The specification: a relative path counts as not set.
    given = Path(environ.get(name, ""))
    return given if given.is_absolute() else usual


def program() -> Path:
    """Return the path of the command `resqued` of this installation.

    Raises ResquedError if there is none.
    """
    beside = Path(sys.executable).with_name("resqued")
    if os.access(beside, os.X_OK):
        return beside
    raise ResquedError(
        f"there is no command {beside}, which the units would start:"
        " install resqued with pip"
    )


def closed_to_others(command: Path) -> Path | None:
    """Return the directory that keeps other users from the command or from Python.

    That is one which they may not enter, such as /root. Returns None without one.
    """
    for path in (command, Path(sys.executable).resolve()):
        for place in reversed(path.parents):
            if place.is_dir() and not place.stat().st_mode & stat.S_IXOTH:
                return place
    return None


def files(
    layout: InstallPaths, command: Path, completions: Mapping[str, str]
) -> Iterator[File]:
    """Yield the files to install, in the order in which to write them.

    `command` is the program that the units start; `completions` are texts by shell
    (bash, zsh, fish).
    """
    source = SHARE / "systemd" / ("" if layout.lib else "user")
    for unit in sorted(source.iterdir()):
        if unit.suffix in _UNITS:
            text = unit.read_text("utf-8").replace(_USUAL_PROGRAM, _quoted(command))
            yield File(layout.units / unit.name, text)
    if layout.lib is not None:
        for kind in ("sysusers", "tmpfiles"):
            text = (SHARE / f"systemd/resqued.{kind}.conf").read_text("utf-8")
            yield File(layout.lib / f"{kind}.d/resqued.conf", text)
    if layout.logrotate is not None:
        text = (SHARE / "logrotate/resqued").read_text("utf-8")
        yield File(layout.logrotate / "resqued", text)
    example = layout.configuration / "resqued.toml"
    # A URL may hold a password; tmpfiles.d sets the group that may read the file.
    yield File(example, example_file.example(), mode=0o640, for_admin=True)
    for page in sorted((SHARE / "man").iterdir()):
        place = layout.share / f"man/man{page.suffix[1:]}"
        yield File(place / page.name, page.read_text("utf-8"))
    for shell, name in (
        ("bash", "bash-completion/completions/resqued"),
        ("zsh", "zsh/site-functions/_resqued"),
        ("fish", "fish/vendor_completions.d/resqued.fish"),
    ):
        yield File(layout.share / name, completions[shell])


def _quoted(command: Path) -> str:
    """Return a path as ExecStart= takes it (systemd.service(5), Command lines).

    Raises ResquedError for one that would become another line of the unit.
    """
    if not str(command).isprintable():
        raise ResquedError(
            f"program {str(command)!r} has a control character in its name: no unit can"
            " start it"
        )
    text = str(command).replace("%", "%%").replace("$", "$$")
    if not re.search(r"""[\s"'\\;]""", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# The digest of a file


def _comment(path: Path) -> str:
    return '.\\" ' if _MANUAL.fullmatch(path.suffix) else "# "


def with_checksum(content: str, comment: str) -> str:
    """Return a text with a last line that holds its digest.

    `comment` begins a comment in the format of the file.
    """
    content = content if content.endswith("\n") else f"{content}\n"
    return f"{content}{comment}{_STAMP}{_digest(content)}\n"


def is_untouched(text: str) -> bool:
    """Return True if a text has not been edited since `with_checksum` returned it."""
    content, mark, digest = text.rpartition(_STAMP)
    start = content.rfind("\n") + 1
    return bool(mark) and digest == f"{_digest(content[:start])}\n"


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _make_directories(place: Path) -> None:
    """Create a directory and its missing parents; only this user may write to them."""
    missing = [path for path in (place, *place.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o755, exist_ok=True)
        # The umask may be 0, or forbid others to read.
        path.chmod(0o755)


class InstallRoot:
    """Reads and writes the installed files below the directory `root`.

    Each method raises OSError if it may not read or write a file.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, path: Path) -> Path:
        """Return the path below `root` of an absolute path."""
        return self._root / path.relative_to("/")

    def state(self, file: File) -> FileState:
        """Return the state of a file."""
        try:
            text = self.path(file.path).read_text("utf-8", "surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            return FileState.MISSING
        except IsADirectoryError:
            return FileState.CHANGED
        if text == file.text:
            return FileState.SAME
        is_ours = is_untouched(text.encode("utf-8", "replace").decode("utf-8"))
        return FileState.OLDER if is_ours else FileState.CHANGED

    def write(self, file: File) -> None:
        """Write a file, completely or not at all."""
        path = self.path(file.path)
        _make_directories(path.parent)
        # A hidden name, so that systemd does not read it as a unit.
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            draft.touch(mode=0o600, exist_ok=False)
            draft.write_text(file.text, "utf-8")
            draft.chmod(file.mode)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise

    def remove(self, file: File) -> None:
        """Remove a file, and its directory `resqued` if that is empty now."""
        path = self.path(file.path)
        path.unlink()
        if path.parent.name == "resqued" and not any(path.parent.iterdir()):
            path.parent.rmdir()
