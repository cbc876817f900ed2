"""A place where another user than root can run Python, and this project.

Where the interpreter lies in a directory of root alone, it is mounted elsewhere, for
the processes of the test only.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.daemon import ROOT

USER = "nobody"


class Ground:
    """The place, and the command that runs `python -m resqued` there."""

    def __init__(self, place: Path) -> None:
        self.place = place
        mounts = {
            place / "python": Path(sys.base_prefix),
            place / "packages": Path(sysconfig.get_path("purelib")),
            place / "project": ROOT,
        }
        steps = []
        for point, source in mounts.items():
            point.mkdir()
            steps.append(f"mount --bind '{source}' '{point}'")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.python = (
            *("unshare", "--mount", "--propagation", "private", "sh", "-c"),
            f'{" && ".join(steps)} && exec "$@"',
            *("sh", str(place / "python" / "bin" / version)),
        )
        self.command = (*self.python, "-m", "resqued")
        self.env = {
            "PYTHONPATH": f"{place / 'project'}{os.pathsep}{place / 'packages'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            # Of an interpreter that is built with a shared library.
            "LD_LIBRARY_PATH": str(place / "python" / "lib"),
        }

    def as_nobody(self, *args: str) -> tuple[str, ...]:
        """Return a command that becomes the user first, and then Python."""
        user = pwd.getpwnam(USER)
        become = (
            *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"),
            "--init-groups",
        )
        *mounting, python = self.python
        return (*mounting, *become, python, *args)


@contextmanager
def ground() -> Iterator[Ground]:
    """Make the place; skip the test where that cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    if not all(map(shutil.which, ("unshare", "setpriv"))):
        pytest.skip("util-linux is not installed")
    place = Path(tempfile.mkdtemp(prefix="rq-"))
    place.chmod(0o755)
    try:
        found = Ground(place)
        tried = subprocess.run(
            found.as_nobody("-c", "import resqued.cli.work"),
            env={**os.environ, **found.env},
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            pytest.skip(f"{USER} cannot run Python here: {tried.stderr.strip()}")
        yield found
    finally:
        # The mounts are gone with the processes that had them.
        shutil.rmtree(place, ignore_errors=True)
