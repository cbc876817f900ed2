"""The application of a framework's size: the jobs of the small one, and its modules."""

from framework_data import MODULES
from noop_jobs import mark, noop

__all__ = ["MODULES", "mark", "noop"]
