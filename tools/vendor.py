"""Fetches what the web front end brings of others, and copies it into the package.

For developers, with npm and a network. Nothing of it runs in an installation, in CI or
in a build. tools/vendor.toml says what, and with which digests:

    python tools/vendor.py            copy the files
    python tools/vendor.py --check    fetch, compare with the files here, change nothing
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LISTED = ROOT / "tools" / "vendor.toml"
PLACE = ROOT / "resqued" / "web" / "static" / "vendor"
# The folder of every archive of npm.
_TOP = "package"


def main(arguments: list[str]) -> None:
    """Fetch each package, and copy or compare its files."""
    is_check = arguments == ["--check"]
    if arguments and not is_check:
        raise SystemExit(f"usage: {sys.argv[0]} [--check]")
    for package in tomllib.loads(LISTED.read_text())["package"]:
        found = _fetch(package)
        _compare(package, found)
        place = PLACE / f"{package['name']}-{package['version']}"
        for name, content in found.items():
            if is_check and (place / name).read_bytes() != content:
                raise SystemExit(f"{place / name} is not that of the package")
            if not is_check:
                place.mkdir(parents=True, exist_ok=True)
                (place / name).write_bytes(content)
        print(f"{package['name']} {package['version']}: {len(found)} files")


def _fetch(package: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files that are wanted of an archive; exit if it is another one."""
    wanted = f"{package['name']}@{package['version']}"
    with tempfile.TemporaryDirectory() as place:
        command = ["npm", "pack", wanted, "--silent", "--ignore-scripts"]
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
        archive = next(Path(place).glob("*.tgz"))
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest())
        if f"sha512-{digest.decode()}" != package["integrity"]:
            raise SystemExit(f"{wanted}: the archive has sha512-{digest.decode()}")
        with tarfile.open(archive) as members:
            return {
                name: _content(members, f"{_TOP}/{path}")
                for name, path in package["files"].items()
            }


def _content(members: tarfile.TarFile, path: str) -> bytes:
    file = members.extractfile(path)
    if file is None:
        raise SystemExit(f"{path} is no file of the archive")
    return file.read()


def _compare(package: Mapping[str, Any], found: Mapping[str, bytes]) -> None:
    """Exit if a file has another digest than the one that is listed."""
    for name, content in found.items():
        digest = hashlib.sha256(content).hexdigest()
        if package["sha256"].get(name) != digest:
            raise SystemExit(f'{package["name"]}: "{name}" = "{digest}" is not listed')


if __name__ == "__main__":
    main(sys.argv[1:])
