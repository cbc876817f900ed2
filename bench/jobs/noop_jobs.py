"""The small application: the jobs of `marks`, declared for resqued."""

import marks

import resqued


@resqued.job(queue="bench", name="Noop")
def noop() -> None:
    """Do nothing."""
    marks.noop()


@resqued.job(queue="bench", name="Mark")
def mark(name: str) -> None:
    """Record when this job ran."""
    marks.mark(name)
