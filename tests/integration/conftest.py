"""Fixtures for tests that use the commands, or a client, against a real server."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

import resqued
from resqued.cli import cli
from resqued.system.redis_server import EmbeddedServer
from tests.support.cli import Run
from tests.support.daemon import STEERING, Daemon
from tests.support.proxy import Proxy
from tests.support.shared import SharedPool


@pytest.fixture
def run(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process; fail unless it ends with the status expected."""
    for name in os.environ:
        if STEERING.fullmatch(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("REDIS_URL", redis_url)

    def invoke(*args: str, fails: type[BaseException] | None = None) -> Result:
        result = CliRunner().invoke(cli, args)
        if fails is None and result.exception:
            raise result.exception
        if fails is not None:
            assert isinstance(result.exception, fails), result.exception
        return result

    return invoke


@pytest.fixture(scope="module")
def shared_pool(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedPool]:
    """The pool of a module; POOL_CONFIG is the module's text of its configuration."""
    config = getattr(request.module, "POOL_CONFIG", "")
    with SharedPool(tmp_path_factory.mktemp("pool"), config) as shared:
        yield shared


@pytest.fixture
def daemon(shared_pool: SharedPool, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """A pool with two idle workers, which other tests have looked at before."""
    found = shared_pool.daemon()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(found.runtime_directory))
    return found


@pytest.fixture
def client(redis_url: str) -> Iterator[resqued.Client]:
    client = resqued.Client(redis_url)
    yield client
    client.close()


@pytest.fixture
def proxy(server: EmbeddedServer, redis_url: str) -> Iterator[Proxy]:
    """A network that fails on command, in front of the server of the test."""
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine where nobody listens, nor can till the test is over."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])
