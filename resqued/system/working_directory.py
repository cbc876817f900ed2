"""The working directory of the master, by the name that the shell uses."""

from __future__ import annotations

from pathlib import Path


def home(shell: str) -> str:
    """Return the directory in which each generation starts, by its name in `shell`.

    `shell` is $PWD; if it is not the working directory, the result is the real path. If
    the name contains a symlink, each generation resolves the link when it starts.
    """
    here = str(Path.cwd())
    try:
        return shell if shell and Path(shell).samefile(here) else here
    except OSError:
        return here
