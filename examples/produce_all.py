"""Enqueues jobs of every example. Run `python produce_all.py` in this folder.

URLs after it are sent a web hook: `python produce_all.py http://localhost:8000/`.
"""

from __future__ import annotations

import subprocess
import sys

import produce
from myapp.accounts import Account
from myapp.caches import warm_all
from myapp.repositories import Repository
from myapp.web_hooks import notify

import resqued


def main(urls: list[str]) -> None:
    """Enqueue jobs of every example."""
    produce.main()  # a function, several calls of one, a class, a job by its name
    example("library").archive_later("master")
    warm_all.enqueue()
    notify(urls, "paid", {"invoice": 42})

    # A method of an object, now and in ten minutes.
    account = Account.create("ada@example.org")
    resqued.later(account).send_invoice(42)
    resqued.later(account, delay="10m").send_invoice(43)
    print(resqued.queue_sizes())


def example(name: str) -> Repository:
    """Return a repository with one commit, to have one for the example."""
    repository = Repository(name)
    if not repository.folder.exists():
        repository.folder.mkdir(parents=True)
        (repository.folder / "README").write_text(f"{name}\n")
        me = ["-c", "user.name=myapp", "-c", "user.email=myapp@example.org"]
        for command in (
            ["init", "--quiet", "--initial-branch", "master"],
            ["add", "README"],
            [*me, "commit", "--quiet", "--message", "begin"],
        ):
            subprocess.run(["git", *command], cwd=repository.folder, check=True)
    return repository


if __name__ == "__main__":
    main(sys.argv[1:])
