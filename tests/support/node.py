"""A server of a topology: one that can be killed, stopped and started again in place.

It keeps its port and its folder, and ends with the process that started it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import redis as redis_py
from redis.backoff import NoBackoff
from redis.retry import Retry

from resqued.errors import EmbeddedServerError
from resqued.system.redis_server import EmbeddedServer
from tests.support.wait import wait_until

HOST = "127.0.0.1"
# Two programs may choose the same free port, of which a cluster needs two for a node.
ATTEMPTS = 5


class Node:
    """One server; `start` it, and `end` it."""

    def __init__(
        self,
        folder: Path,
        binary: Path | None,
        options: Mapping[str, str],
        password: str = "",
    ) -> None:
        self._folder = folder
        self._binary = binary
        self._options = {**options, "requirepass": password}
        self._password = password
        self._server: EmbeddedServer | None = None
        self.port = 0
        self.client: redis_py.Redis

    def start(self, **options: str) -> None:
        """Start it, on its port if it has one; `options` hold for this start."""
        attempts = ATTEMPTS
        while True:
            attempts -= 1
            try:
                self._server = EmbeddedServer.start(
                    self._folder,
                    port=self.port or None,
                    binary=self._binary,
                    options={**self._options, **options},
                )
                break
            except EmbeddedServerError:
                if self.port or not attempts:
                    raise
        self.port = self._server.port
        self.client = redis_py.Redis(
            host=HOST,
            port=self.port,
            password=self._password or None,
            protocol=2,
            # One that is stopped does not answer.
            socket_timeout=2.0,
            socket_connect_timeout=2.0,
            retry=Retry(NoBackoff(), 0),
        )

    def ask(self, *words: str | int) -> object:
        """Return the reply to a command, as the server sends it."""
        connection = self.client.connection_pool.get_connection()
        try:
            connection.send_command(*words)
            return connection.read_response()
        finally:
            self.client.connection_pool.release(connection)

    @property
    def address(self) -> str:
        """Host and port, as in a URL."""
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """The URL of this server alone."""
        secret = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{secret}{self.address}/0"

    @property
    def pid(self) -> int:
        """The pid of its process, or of the last one."""
        assert self._server
        return self._server.pid

    def is_running(self) -> bool:
        """Say whether its process lives."""
        return self._server is not None and self._server.is_running()

    def is_primary(self) -> bool:
        """Say whether it takes itself for a primary; False if it does not answer."""
        with suppress(redis_py.RedisError):
            return self.client.role()[0] == b"master"
        return False

    def kill(self) -> None:
        """Kill it, and return when it is dead."""
        self._signal(signal.SIGKILL)
        wait_until(lambda: not self.is_running(), what="the end of a killed server")
        assert self._server
        self._server.stop()

    def freeze(self) -> None:
        """Stop its process, as a machine stops that is moved to another."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue its process."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End it for good; its data is lost."""
        if self._server is not None:
            self._signal(signal.SIGKILL)
            self._server.stop()
            self.client.close()

    def _signal(self, signum: signal.Signals) -> None:
        if self.is_running():
            os.kill(self.pid, signum)
