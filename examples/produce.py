"""Enqueues some jobs. Run `python produce.py` in this folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

from myapp.jobs import archive, count

import resqued


def main() -> None:
    """Enqueue one job, several jobs, and one job by its name."""
    here = Path(__file__).parent.resolve()
    target = Path(tempfile.gettempdir(), "myapp.tar.gz")
    archive.enqueue(str(here / "myapp"), str(target))
    resqued.enqueue_many(((seconds,) for seconds in (1, 1, 1)), job=count)
    resqued.enqueue_to("low", "Count", 1)
    print(resqued.queue_sizes())


if __name__ == "__main__":
    main()
