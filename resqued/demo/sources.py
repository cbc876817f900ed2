"""The folders to archive: the packages of a source tree, and the list of their files.

The list is made before any job runs, and the archives are compared with it. The jobs
walk a folder by other code, so that a fault in either shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct, field

from resqued.demo import DemoError

# Folders that a package manager or the interpreter creates, which are not sources.
NO_SOURCE = frozenset({"__pycache__", "site-packages", "dist-packages"})


class Folder(Struct):
    """A folder, and what its archive must hold, by the names in the archive.

    `files` are sizes in bytes, `links` the targets of symlinks, `unreadable` the sizes
    of files that this user may not read; `left_out` are the names that the archive
    cannot hold, with reasons.
    """

    path: Path
    files: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, int] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder's name, with which every name in the archive begins."""
        return self.path.name

    @property
    def size(self) -> int:
        """The bytes of all files in the archive, uncompressed."""
        return sum(self.files.values())


def scan(source: Path, tick: Callable[[], None]) -> tuple[list[Folder], list[str]]:
    """Return the package folders of a tree, largest first, and what is left out.

    In a tree without packages, all folders with files are returned. Calls `tick` for
    each folder that it reads. Raises DemoError if there is nothing to archive, or the
    tree cannot be read.
    """
    candidates, left_out = _candidates(source)
    packages = [path for path in candidates if (path / "__init__.py").is_file()]
    try:
        folders = [_list_files(path, tick) for path in packages or candidates]
    except OSError as error:
        # The tree is being changed at this moment.
        raise DemoError(f"{error.filename}: {error.strerror}") from error
    if not packages:
        folders = [folder for folder in folders if folder.files]
    if not folders:
        raise DemoError(
            f"source tree {source} holds no folder with files to archive:"
            " name another one as --source"
        )
    left_out += [reason for folder in folders for reason in folder.left_out]
    # The largest first, or one worker would be busy at the end while others are idle.
    return sorted(folders, key=lambda folder: (-folder.size, folder.name)), left_out


def _candidates(source: Path) -> tuple[list[Path], list[str]]:
    folders, left_out = [], []
    try:
        with os.scandir(source) as entries:
            names = sorted(
                entry.name
                for entry in entries
                # A symlink may lead out of the tree, or to a folder in it.
                if entry.is_dir(follow_symlinks=False) and entry.name not in NO_SOURCE
            )
    except OSError as error:
        raise DemoError(
            f"source tree {source} cannot be read: {error.strerror}:"
            " name another one as --source"
        ) from error
    for name in names:
        if not _is_text(name):
            left_out.append(f"{name}: not UTF-8, which the arguments of jobs must be")
        elif not _may_enter(source / name):
            left_out.append(f"{name}: folder cannot be read")
        else:
            folders.append(source / name)
    return folders, left_out


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _may_enter(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _list_files(path: Path, tick: Callable[[], None]) -> Folder:
    folder = Folder(path)
    pending = [(path.name, path)]
    while pending:
        tick()
        prefix, place = pending.pop()
        if not _may_enter(place):
            folder.left_out.append(f"{prefix}: folder cannot be read")
            continue
        with os.scandir(place) as entries:
            for entry in entries:
                name = f"{prefix}/{entry.name}"
                if not entry.is_dir(follow_symlinks=False):
                    _add(folder, name, entry)
                elif entry.name not in NO_SOURCE:
                    pending.append((name, Path(entry.path)))
    return folder


def _add(folder: Folder, name: str, entry: os.DirEntry[str]) -> None:
    if entry.is_symlink():
        # As text: a Path would change "./a//b" to "a/b".
        folder.links[name] = os.readlink(entry.path)  # noqa: PTH115
    elif not entry.is_file(follow_symlinks=False):
        folder.left_out.append(f"{name}: neither file, folder nor symlink")
    else:
        size = entry.stat(follow_symlinks=False).st_size
        if os.access(entry.path, os.R_OK):
            folder.files[name] = size
        else:
            folder.unreadable[name] = size
            folder.left_out.append(f"{name}: file cannot be read")
