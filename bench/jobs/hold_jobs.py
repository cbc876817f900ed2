"""A job that takes a given time."""

import time

import resqued


@resqued.job(queue="bench", name="Hold")
def hold(seconds: float) -> None:
    """Sleep for some seconds: the worker is busy, and the processor is not."""
    time.sleep(seconds)
