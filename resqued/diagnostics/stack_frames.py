"""The stacks of a job as faulthandler writes them, without the frames below the job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# What faulthandler writes for a frame, and for those below a job.
_FRAME = '  File "'
_OWN_FRAMES = (
    f"{_FRAME}{Path(__file__).parents[1]}/",
    f"{_FRAME}<frozen runpy>",
)


def without_own_frames(stack: Sequence[str]) -> list[str]:
    """Return stacks without the frames of resqued below the job, in each thread.

    The newest frame of a thread comes first; one that has only ours keeps them.
    """
    kept: list[str] = []
    thread: list[str] = []
    for line in [*stack, ""]:
        if line.startswith(_FRAME):
            thread.append(line)
            continue
        last = len(thread)
        while last and thread[last - 1].startswith(_OWN_FRAMES):
            last -= 1
        kept += [*thread[: last or len(thread)], line]
        thread = []
    return kept[:-1]
