"""Holding what the jobs made against the tree that they made it from.

Every archive is read to its end and compared, name by name and size by size, with
the list taken before; so are the checksums and the disk usage. What does not
agree is told in words, and an empty list means that all is well.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from resqued.demo.sources import Folder

_CHUNK = 1 << 20

# A broken archive may lack thousands of files; a few of them tell as much.
_MOST = 3


def archive_problems(
    folder: Folder, archive: Path, tick: Callable[[], None]
) -> list[str]:
    """Return how an archive differs from its folder."""
    try:
        sizes, links = _read(archive, tick)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        return [f"{archive.name} cannot be read: {error}"]
    found = [
        *_differences(folder.files, sizes, "bytes"),
        *_differences(folder.links, links, "as target"),
    ]
    return [f"{archive.name}: {what}" for what in _few(found)]


def _read(
    archive: Path, tick: Callable[[], None]
) -> tuple[dict[str, int], dict[str, str]]:
    """Return the files with the bytes that came out, and the symlinks."""
    sizes: dict[str, int] = {}
    links: dict[str, str] = {}
    with gzip.open(archive) as plain:
        # Its checksum stands at the end: nothing before can be trusted until then.
        while plain.read(_CHUNK):
            tick()
        plain.seek(0)
        with tarfile.open(fileobj=plain, mode="r|") as tar:
            for member in tar:
                tick()
                if member.isreg():
                    sizes[member.name] = _length(tar.extractfile(member), tick)
                elif member.islnk():
                    # The second name of a file that came before.
                    sizes[member.name] = sizes.get(member.linkname, -1)
                elif member.issym():
                    links[member.name] = member.linkname
    return sizes, links


def _length(file: IO[bytes] | None, tick: Callable[[], None]) -> int:
    length = 0
    while file and (chunk := file.read(_CHUNK)):
        length += len(chunk)
        tick()
    return length


def _differences(
    wanted: dict[str, int] | dict[str, str],
    found: dict[str, int] | dict[str, str],
    unit: str,
) -> list[str]:
    both = wanted.keys() & found.keys()
    return [
        *(f"{name} is missing" for name in sorted(wanted.keys() - found.keys())),
        *(
            f"{name} was not in the tree"
            for name in sorted(found.keys() - wanted.keys())
        ),
        *(
            f"{name} has {found[name]} {unit} instead of {wanted[name]}"
            for name in sorted(both)
            if wanted[name] != found[name]
        ),
    ]


def checksum_problems(archive: Path, tick: Callable[[], None]) -> list[str]:
    """Return what is wrong with the checksum that a job took of an archive."""
    beside = archive.with_name(f"{archive.name}.sha256")
    digest = hashlib.sha256()
    try:
        told = beside.read_text("utf-8").partition(" ")[0]
        with archive.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                tick()
    except OSError as error:
        return [f"{error.filename}: {error.strerror}"]
    if told != digest.hexdigest():
        return [f"{beside.name} says {told} instead of {digest.hexdigest()}"]
    return []


def usage_problems(folders: Iterable[Folder], ledger: Path) -> list[str]:
    """Return where the disk usage that the jobs found is not that of the folders."""
    try:
        entries = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    except (OSError, ValueError) as error:
        return [f"{ledger.name} cannot be read: {error}"]
    told = Counter((e["folder"], e["files"], e["bytes"]) for e in entries)
    wanted = Counter(
        (
            folder.name,
            len(folder.files) + len(folder.unreadable),
            folder.size + sum(folder.unreadable.values()),
        )
        for folder in folders
    )
    return _few(
        [
            *(f"no job found {_usage(*usage)}" for usage in wanted - told),
            *(
                f"a job found {_usage(*usage)}, which is wrong"
                for usage in told - wanted
            ),
        ]
    )


def _usage(folder: str, files: int, size: int) -> str:
    return f"{files} files of {size} bytes in {folder}"


def _few(problems: list[str]) -> list[str]:
    more = len(problems) - _MOST
    return problems if more <= 0 else [*problems[:_MOST], f"{more} more like these"]
