"""What `resqued service` puts on a host: which files, where, and whose they are now.

The texts come with the package (`share/`). The last line of each file that is written
holds a digest of all before it. So a file that nobody has changed since can be told
from one that somebody has, also when it is of another version of resqued: the first
kind is replaced and removed, the second is left alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from resqued.config import schema
from resqued.errors import ResquedError

SHARE = Path(__file__).with_name("share")
# Where the units of the package expect the program.
_USUAL_PROGRAM = "/usr/bin/resqued"
_UNITS = (".service", ".slice", ".target")
_STAMP = "resqued service replaces and removes this file while it is unchanged: sha256 "
_MANUAL = re.compile(r"\.[1-9]")


class FileState(Enum):
    """What there is of a file, beside what would be written."""

    MISSING = "missing"
    SAME = "unchanged"
    # As a version of resqued has written it, and not as this one would.
    OLDER = "outdated"
    # Somebody has edited it, or it is somebody else's.
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class File:
    """A file to put on the host; the text of `content` with the stamp is what it has.

    One that is `for_admin` is an example: it is written once, and never again.
    """

    path: Path
    content: str
    mode: int = 0o644
    for_admin: bool = False

    @property
    def text(self) -> str:
        """All of it, with the stamp."""
        return with_checksum(self.content, _comment(self.path))


class InstallPaths(NamedTuple):
    """The directories of a host, or of one of its users."""

    units: Path
    # Where `systemctl enable` makes its symlinks.
    enabled: Path
    configuration: Path
    share: Path
    # Where only the system has such files.
    lib: Path | None = None
    logrotate: Path | None = None


def system(prefix: Path) -> InstallPaths:
    """Return where things lie for the whole host."""
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
    """Return where things lie for one user (the XDG base directory rules)."""
    config = _base(environ, "XDG_CONFIG_HOME", home / ".config")
    data = _base(environ, "XDG_DATA_HOME", home / ".local/share")
    units = config / "systemd/user"
    return InstallPaths(units, units, config / "resqued", data)


def _base(environ: Mapping[str, str], name: str, usual: Path) -> Path:
    # The rules: a relative path counts as not set.
    given = Path(environ.get(name, ""))
    return given if given.is_absolute() else usual


def program() -> Path:
    """Return the command of this very installation."""
    beside = Path(sys.executable).with_name("resqued")
    if os.access(beside, os.X_OK):
        return beside
    raise ResquedError(
        f"there is no command {beside}, which the units would start:"
        " install resqued with pip"
    )


def closed_to_others(command: Path) -> Path | None:
    """Return what keeps other users from a command, or from Python, if anything does.

    That is a directory which they may not enter, such as /root.
    """
    for path in (command, Path(sys.executable).resolve()):
        for place in reversed(path.parents):
            if place.is_dir() and not place.stat().st_mode & stat.S_IXOTH:
                return place
    return None


def files(
    layout: InstallPaths, command: Path, completions: Mapping[str, str]
) -> Iterator[File]:
    """Yield every file, in the order to write them; completions are by shell."""
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
    # A URL may have a password in it; tmpfiles.d gives the file to the group.
    yield File(example, schema.example(), mode=0o640, for_admin=True)
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
    """Return a path as ExecStart= takes it (systemd.service(5), Command lines)."""
    text = str(command).replace("%", "%%").replace("$", "$$")
    if not re.search(r"""[\s"'\\;]""", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# Whose a file is


def _comment(path: Path) -> str:
    return '.\\" ' if _MANUAL.fullmatch(path.suffix) else "# "


def with_checksum(content: str, comment: str) -> str:
    """Return a text with the line that tells whether it has been changed since."""
    content = content if content.endswith("\n") else f"{content}\n"
    return f"{content}{comment}{_STAMP}{_digest(content)}\n"


def is_untouched(text: str) -> bool:
    """Say whether a text is as `with_checksum` made it."""
    content, mark, digest = text.rpartition(_STAMP)
    start = content.rfind("\n") + 1
    return bool(mark) and digest == f"{_digest(content[:start])}\n"


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


class InstallRoot:
    """The files of a host, below `root`; the only one here who reads or writes any."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, path: Path) -> Path:
        """Return where a path of the host is, seen from here."""
        return self._root / path.relative_to("/")

    def state(self, file: File) -> FileState:
        """Return what there is of a file."""
        try:
            found = self.path(file.path).read_text("utf-8", "surrogateescape")
        except (FileNotFoundError, NotADirectoryError):
            return FileState.MISSING
        except IsADirectoryError:
            return FileState.CHANGED
        if found == file.text:
            return FileState.SAME
        is_ours = is_untouched(found.encode("utf-8", "replace").decode("utf-8"))
        return FileState.OLDER if is_ours else FileState.CHANGED

    def write(self, file: File) -> None:
        """Put a file there, whole or not at all."""
        path = self.path(file.path)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        # Hidden, so that nobody who reads the directory takes it for a unit.
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
        """Take a file away, and directories of ours that are empty now."""
        path = self.path(file.path)
        path.unlink()
        if path.parent.name == "resqued" and not any(path.parent.iterdir()):
            path.parent.rmdir()
