"""Whether the server that a configuration names can ever have its namespaces.

Used by the master at a reload, and by a launcher before the start.
"""

from __future__ import annotations

from resqued.config.loader import Config
from resqued.errors import StoreError, UnusableServerError
from resqued.store.connection import SingleLink
from resqued.store.registry import Registry
from resqued.wire.keys import Keys


def refuse_unusable(config: Config) -> None:
    """Ask the server; raise UnusableServerError if it can never have a namespace.

    Waits for at most the patience of a master for Redis. A server that does not answer
    may be right later.
    """
    app = config.app
    for name in config.namespaces:
        link = SingleLink(app.url, timeout=app.master_timeout, namespace=name)
        try:
            Registry(link, Keys(name), app.failure_place).check_server()
        except UnusableServerError:
            raise
        except StoreError:
            return
        finally:
            link.close()
