"""The working directory of the master, by the name that the shell gave it."""

from __future__ import annotations

from pathlib import Path


def home(shell: str) -> str:
    """Return the directory to start each generation in, as the shell names it.

    Where that leads through a symlink, the next generation finds what the link
    means then.
    """
    here = str(Path.cwd())
    try:
        return shell if shell and Path(shell).samefile(here) else here
    except OSError:
        return here
