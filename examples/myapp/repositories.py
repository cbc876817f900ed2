"""Archives of repositories: the first example of Resque's README.

A page that asks for an archive does not wait for git: it enqueues a job.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import resqued
from myapp import DATA


class Repository:
    """A repository of git, whose id is the name of its folder."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.folder = DATA / "repositories" / name

    def archive_later(self, branch: str = "master") -> bool:
        """Enqueue the job that makes the archive of a branch."""
        return resqued.enqueue(Archive, self.id, branch)

    def create_archive(self, branch: str) -> Path:
        """Write the archive of a branch, and return its path."""
        target = (DATA / "archives" / f"{self.id}-{branch}.tar.gz").resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"unfinished-{target.name}")
        try:
            subprocess.run(
                ["git", "archive", "--output", str(unfinished), branch],
                cwd=self.folder,
                check=True,
            )
            unfinished.rename(target)
        finally:
            # Also runs when the job is ended: JobTerminated is raised in the try block.
            unfinished.unlink(missing_ok=True)
        return target


class Archive:
    """The job: a class with `perform`, which gets the id of the repository."""

    queue = "file_serve"

    @staticmethod
    def perform(repository_id: str, branch: str = "master") -> None:
        """Make the archive of a branch."""
        print(f"wrote {Repository(repository_id).create_archive(branch)}")
