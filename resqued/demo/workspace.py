"""The folder of one run of the demo: archives, checksums and the master's log."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from resqued.demo import DemoError


class Workspace:
    """A folder that was new or empty, so that everything in it is the demo's.

    `is_ours` is True if the demo created it.
    """

    def __init__(self, path: Path, *, is_ours: bool) -> None:
        self.path = path
        self.is_ours = is_ours

    @classmethod
    def make(cls, wanted: Path | None, *, apart_from: Iterable[Path]) -> Workspace:
        """Create the folder, by default a new one below the temporary folder.

        Raises DemoError if it cannot be created, is not empty, or lies in one of the
        folders that are to be archived.
        """
        path = Path(tempfile.gettempdir()) if wanted is None else wanted
        path = path.resolve()
        for folder in apart_from:
            if path.is_relative_to(folder.resolve()):
                raise DemoError(
                    f"folder {path} lies in {folder}, which is archived:"
                    " name another one as --out"
                )
        try:
            if wanted is None:
                return cls(Path(tempfile.mkdtemp(prefix="resqued-demo-")), is_ours=True)
            is_ours = not path.exists()
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise DemoError(
                    f"folder {path} is not empty: name another one as --out"
                )
        except OSError as error:
            raise DemoError(
                f"folder {path} cannot be used: {error.strerror}:"
                " name another one as --out"
            ) from error
        return cls(path, is_ours=is_ours)

    @property
    def server(self) -> Path:
        """The embedded server's folder."""
        return self.path / "server"

    @property
    def log(self) -> Path:
        """The master's log."""
        return self.path / "master.log"

    @property
    def web_log(self) -> Path:
        """Return the path of the log of the web front end."""
        return self.path / "web.log"

    @property
    def ledger(self) -> Path:
        """The file to which the jobs append the disk usage that they found."""
        return self.path / "disk-usage.jsonl"

    def archive(self, folder: str) -> Path:
        """Return the path of the archive of a folder."""
        return self.path / f"{folder}.tar.gz"

    def drop_server(self) -> None:
        """Remove the server's files."""
        shutil.rmtree(self.server, ignore_errors=True)

    def remove(self) -> None:
        """Remove everything, and the folder if the demo created it; ignore errors."""
        for path in [self.path] if self.is_ours else list(self.path.iterdir()):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
