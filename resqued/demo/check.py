"""Checks of the files that the jobs made, against the source tree.

Every archive is read to its end, and the names and sizes in it are compared with the
list that was taken before; checksums and disk usage are compared too. Each function
returns a list of problems as texts, which is empty if there are none, and calls
`tick` often, so that a signal can interrupt it.
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

# The most problems of one kind to report: an archive may lack thousands of files.
_MOST = 3


def archive_problems(
    folder: Folder, archive: Path, tick: Callable[[], None]
) -> list[str]:
    """Return the differences between an archive and its folder."""
    try:
        sizes, links = _read(archive, tick)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        return [f"{archive.name} cannot be read: {error}"]
    problems = [
        *_differences(folder.files, sizes, "bytes"),
        *_differences(folder.links, links, "as target"),
    ]
    return [f"{archive.name}: {problem}" for problem in _few(problems)]


def _read(
    archive: Path, tick: Callable[[], None]
) -> tuple[dict[str, int], dict[str, str]]:
    """Return the sizes of the files in an archive, and the targets of its symlinks.

    The size of a file is the number of bytes that could be read.
    """
    sizes: dict[str, int] = {}
    links: dict[str, str] = {}
    with gzip.open(archive) as plain:
        # The checksum is at the end of the file: read all of it before using any.
        while plain.read(_CHUNK):
            tick()
        plain.seek(0)
        with tarfile.open(fileobj=plain, mode="r|") as tar:
            for member in tar:
                tick()
                if member.isreg():
                    sizes[member.name] = _length(tar.extractfile(member), tick)
                elif member.islnk():
                    # Another name of a file that was read before.
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
    actual: dict[str, int] | dict[str, str],
    unit: str,
) -> list[str]:
    both = wanted.keys() & actual.keys()
    return [
        *(f"{name} is missing" for name in sorted(wanted.keys() - actual.keys())),
        *(
            f"{name} was not in the tree"
            for name in sorted(actual.keys() - wanted.keys())
        ),
        *(
            f"{name} has {actual[name]} {unit} instead of {wanted[name]}"
            for name in sorted(both)
            if wanted[name] != actual[name]
        ),
    ]


def checksum_problems(archive: Path, tick: Callable[[], None]) -> list[str]:
    """Return the problems of the checksum file that a job wrote for an archive."""
    checksum_file = archive.with_name(f"{archive.name}.sha256")
    digest = hashlib.sha256()
    try:
        checksum = checksum_file.read_text("utf-8").partition(" ")[0]
        with archive.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                tick()
    except OSError as error:
        return [f"{error.filename}: {error.strerror}"]
    if checksum != digest.hexdigest():
        return [f"{checksum_file.name} says {checksum} instead of {digest.hexdigest()}"]
    return []


def usage_problems(folders: Iterable[Folder], ledger: Path) -> list[str]:
    """Return the differences between the disk usage in the ledger and the folders.

    The ledger is the file to which the jobs write, one line of JSON for each folder.
    """
    try:
        entries = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    except (OSError, ValueError) as error:
        return [f"{ledger.name} cannot be read: {error}"]
    reported = Counter((e["folder"], e["files"], e["bytes"]) for e in entries)
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
            *(f"no job found {_usage(*usage)}" for usage in wanted - reported),
            *(
                f"a job found {_usage(*usage)}, which is wrong"
                for usage in reported - wanted
            ),
        ]
    )


def _usage(folder: str, files: int, size: int) -> str:
    return f"{files} files of {size} bytes in {folder}"


def _few(problems: list[str]) -> list[str]:
    more = len(problems) - _MOST
    return problems if more <= 0 else [*problems[:_MOST], f"{more} more like these"]
