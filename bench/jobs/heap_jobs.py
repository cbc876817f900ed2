"""The large application: the jobs of the small one, and 500 MB of objects."""

from heap_data import HEAP
from noop_jobs import mark, noop

__all__ = ["HEAP", "mark", "noop"]
