"""Fixtures of the suite: one server for the session, emptied for each test."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psutil
import pytest
import redis as redis_py

from resqued.errors import EmbeddedServerError
from resqued.system.redis_server import EmbeddedServer
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = Path(__file__).with_name("unit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        choices=["valkey", "redis"],
        default=os.environ.get("RESQUED_TEST_SERVER", "valkey"),
        help="the server to test against: Valkey as embedded, or redis-server of PATH",
    )


def pytest_configure() -> None:
    # A shell starts what it puts in the background with these ignored, and so
    # would be everything that the tests start.
    for signum in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(signum) is signal.SIG_IGN:
            default = signum is signal.SIGINT
            signal.signal(
                signum, signal.default_int_handler if default else signal.SIG_DFL
            )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if UNIT in item.path.parents and "server" in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"{item.nodeid}: unit tests do without a server")


@pytest.fixture(scope="session", autouse=True)
def runtime_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where masters have their sockets: not where those of this machine have theirs.

    A daemon of the tests has a directory of its own, in its working directory.
    """
    place = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_DIRECTORY", str(place))
        yield place


@pytest.fixture(scope="session")
def server_binary(request: pytest.FixtureRequest) -> Path | None:
    """The server program asked for; None stands for the embedded one."""
    if request.config.getoption("--server") == "valkey":
        return None
    program = shutil.which("redis-server")
    if program is None:
        _missing("redis-server is not in PATH")
    return Path(program)


@pytest.fixture(scope="session")
def server(
    server_binary: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    """The server of the session; most tests want `redis_url` instead."""
    try:
        running = EmbeddedServer.start(
            tmp_path_factory.mktemp("server"), binary=server_binary
        )
    except EmbeddedServerError as error:
        _missing(str(error))
    with running:
        yield running


@pytest.fixture
def redis_url(server: EmbeddedServer) -> Iterator[str]:
    """The URL of an empty server, which nobody may still use after the test."""
    with redis_py.Redis.from_url(server.url) as client:
        client.flushall()
        yield server.url
        try:
            wait_until(lambda: not _strangers(client))
        except AssertionError:
            pytest.fail(f"processes left behind, still connected: {_strangers(client)}")


@pytest.fixture(name="redis")
def redis_fixture(redis_url: str) -> Iterator[redis_py.Redis]:
    """A plain client that answers bytes."""
    with redis_py.Redis.from_url(redis_url, decode_responses=False) as client:
        yield client


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def _strangers(client: redis_py.Redis) -> list[str]:
    """Tell which clients of the server belong to another process than this one."""
    here = psutil.Process().net_connections("tcp")
    own = {connection.laddr.port for connection in here if connection.laddr}
    strangers = {
        port: entry
        for entry in client.client_list()
        if (port := int(entry["addr"].rpartition(":")[2])) not in own
    }
    if not strangers:
        return []
    pids = {c.laddr.port: c.pid for c in psutil.net_connections("tcp") if c.laddr}
    return [
        f"pid {pids.get(port)} ({entry['name'] or 'no name'}, last: {entry['cmd']})"
        for port, entry in strangers.items()
    ]
