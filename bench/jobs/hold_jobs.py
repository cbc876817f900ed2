"""Jobs that take as long as they are told."""

import time

import resqued


@resqued.job(queue="bench", name="Hold")
def hold(seconds: float) -> None:
    """Sleep: the worker is busy, and the processor is not."""
    time.sleep(seconds)
