"""The demo's jobs: real work on files, and three jobs that fail in different ways.

The application of the demo's workers (`-a resqued.demo.demo_jobs`); the jobs run in
their children. It must use only the public API of resqued, as an application does.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import resqued
from resqued.demo.sources import NO_SOURCE

CRITICAL = "critical"
FILE_SERVE = "file_serve"
LOW = "low"
DOOMED = "doomed"

# A class that is not declared, so that no worker can run it.
UNKNOWN_CLASS = "NoSuchJob"

# The text that the failure of each job that is meant to fail must contain.
MEANT_TO_FAIL = {
    "Explode": "RuntimeError",
    UNKNOWN_CLASS: "JobClassError",
    "Segfault": "SIGSEGV",
}


@resqued.job(name="Archive")
class Archive:
    """Packs a folder into a tar.gz, then enqueues the job for its checksum."""

    queue = FILE_SERVE

    @staticmethod
    def perform(folder: str, archive: str) -> None:
        """Write the file *archive*; it appears under its name when complete."""
        source = Path(folder)
        with (
            _appearing(Path(archive)) as unfinished,
            # Level 9, the default of tarfile, takes twice the time to save 1 %.
            tarfile.open(unfinished, "w:gz", compresslevel=6) as tar,
        ):
            tar.add(source, arcname=source.name, filter=_chooser(source.parent))
        checksum.enqueue(archive)


def _chooser(root: Path) -> Callable[[tarfile.TarInfo], tarfile.TarInfo | None]:
    """Return a filter for tarfile that leaves out what the archive must not hold."""

    def choose(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        path = root / member.name
        if member.isdir():
            is_wanted = path.name not in NO_SOURCE
            return member if is_wanted and os.access(path, os.R_OK | os.X_OK) else None
        if member.issym():
            return member
        is_file = member.isreg() or member.islnk()
        return member if is_file and os.access(path, os.R_OK) else None

    return choose


@resqued.job(queue=CRITICAL, name="DiskUsage")
def disk_usage(folder: str, ledger: str) -> None:
    """Count the files of a folder and their bytes; add them to a ledger."""
    files = size = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in NO_SOURCE]
        for name in names:
            # Raised in a folder that may be listed but not entered.
            with suppress(PermissionError):
                info = (Path(place) / name).lstat()
                if stat.S_ISREG(info.st_mode):
                    files += 1
                    size += info.st_size
    entry = {"folder": Path(folder).name, "files": files, "bytes": size}
    # One write(2) in append mode, so that lines of several workers never mix.
    fd = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    with os.fdopen(fd, "ab", buffering=0) as file:
        file.write(json.dumps(entry).encode() + b"\n")


@resqued.job(queue=LOW, name="Checksum")
def checksum(archive: str) -> None:
    """Write the SHA-256 of an archive beside it, as sha256sum(1) would."""
    path = Path(archive)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with _appearing(path.with_name(f"{path.name}.sha256")) as unfinished:
        unfinished.write_text(f"{digest}  {path.name}\n", "utf-8")


@resqued.job(queue=DOOMED, name="Explode")
def explode(reason: str) -> None:
    """Raise an exception."""
    raise RuntimeError(reason)


@resqued.job(queue=DOOMED, name="Segfault")
def segfault() -> None:
    """Read from address 0: the process dies by SIGSEGV."""
    # The crash is intended, so a core file is useless.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which is renamed to `path` on success."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        # It exists if the job failed or was terminated.
        with suppress(FileNotFoundError):
            unfinished.unlink()
