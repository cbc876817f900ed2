"""The large application: the jobs of the small one, and half a gigabyte of objects."""

from heap_data import HEAP
from noop_jobs import mark, noop

__all__ = ["HEAP", "mark", "noop"]
