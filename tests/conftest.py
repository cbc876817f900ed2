"""Fixtures of the suite, its options, and which tests run where.

A session, which each of several workers has for itself, starts a server of a kind
when a test first asks for it; each test finds it empty.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import psutil
import pytest
import redis as redis_py

from resqued.errors import EmbeddedServerError
from resqued.system.redis_server import EmbeddedServer
from tests.support.needs import missing
from tests.support.own_ports import own_ports
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.support.report"]

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

UNIT = Path(__file__).with_name("unit")
KINDS = ("valkey", "redis")
MARKERS = (
    "server_semantics: runs with redis-server as well as with the embedded Valkey",
    "alone(reason): runs while no other test does",
    "sources: judges the text of the sources, and so is run with one Python alone",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--server",
        choices=[*KINDS, "both"],
        default=os.environ.get("RESQUED_TEST_SERVER", "valkey"),
        help="the server to test against: Valkey as embedded; the redis-server of PATH,"
        " with the tests marked server_semantics alone; or both",
    )


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    # A shell starts what it puts in the background with these ignored, and so
    # would be everything that the tests start.
    for signum in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(signum) is signal.SIG_IGN:
            default = signum is signal.SIGINT
            signal.signal(
                signum, signal.default_int_handler if default else signal.SIG_DFL
            )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with both servers, where it is marked and asked for."""
    is_twice = metafunc.config.getoption("--server") == "both" and has_redis()
    marker = metafunc.definition.get_closest_marker("server_semantics")
    if is_twice and marker and "server_kind" in metafunc.fixturenames:
        metafunc.parametrize("server_kind", KINDS)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    left_out = []
    for item in items:
        names = getattr(item, "fixturenames", ())
        if UNIT in item.path.parents and "server_kind" in names:
            raise pytest.UsageError(f"{item.nodeid}: unit tests do without a server")
        alone = item.get_closest_marker("alone")
        if alone and not (alone.args and isinstance(alone.args[0], str)):
            raise pytest.UsageError(f"{item.nodeid}: alone for what reason?")
        is_marked = item.get_closest_marker("server_semantics") is not None
        if config.getoption("--server") == "redis" and not (
            is_marked and "server_kind" in names
        ):
            left_out.append(item)
    if left_out:
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)


def has_redis() -> bool:
    """Say whether there is a redis-server to test against."""
    return shutil.which("redis-server") is not None


@pytest.fixture(scope="session", autouse=True)
def runtime_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where masters have their sockets: not where those of this machine have theirs.

    A daemon of the tests has a directory of its own, in its working directory.
    """
    place = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_DIRECTORY", str(place))
        # Two versions of a module within a second look the same to the cache.
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield place


@pytest.fixture
def server_kind(request: pytest.FixtureRequest) -> str:
    """The kind of server that this test runs with."""
    asked_for: str = request.config.getoption("--server")
    return "valkey" if asked_for == "both" else asked_for


@pytest.fixture
def server_binary(server_kind: str) -> Path | None:
    """The server program asked for; None stands for the embedded one."""
    return binary_of(server_kind)


def binary_of(kind: str) -> Path | None:
    if kind == "valkey":
        return None
    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server is not in PATH")
    return Path(program)


@pytest.fixture(scope="session")
def server_of(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], EmbeddedServer]]:
    """Return the session's server of a kind, started when it is first wanted."""
    running: dict[str, EmbeddedServer] = {}

    def find(kind: str) -> EmbeddedServer:
        if kind not in running:
            place = tmp_path_factory.mktemp(kind)
            try:
                started = EmbeddedServer.start(
                    place,
                    binary=binary_of(kind),
                    # Proxies of the tests have URLs of their own.
                    options={"requirepass": ""},
                )
            except EmbeddedServerError as error:
                missing(str(error))
            running[kind] = stack.enter_context(started)
        return running[kind]

    with ExitStack() as stack:
        yield find


@pytest.fixture
def server(
    server_kind: str, server_of: Callable[[str], EmbeddedServer]
) -> EmbeddedServer:
    """The server of the session; most tests want `redis_url` instead."""
    return server_of(server_kind)


@pytest.fixture
def redis_url(server: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty server, which nobody may still use after the test.

    A test with the module's `shared_pool` has the server of that.
    """
    if "shared_pool" in request.fixturenames:
        yield request.getfixturevalue("shared_pool").url
        return
    with redis_py.Redis.from_url(server.url, socket_timeout=None) as client:
        client.flushall()
        yield server.url
        try:
            wait_until(lambda: not _strangers(client))
        except AssertionError:
            told = _tell(_strangers(client))
            pytest.fail(f"processes left behind, still connected: {told}")


@pytest.fixture(name="redis")
def redis_fixture(redis_url: str) -> Iterator[redis_py.Redis]:
    """A plain client that answers bytes.

    It waits as long as BLPOP says: by default redis-py gives up after five seconds.
    """
    with redis_py.Redis.from_url(redis_url, socket_timeout=None) as client:
        yield client


def _strangers(client: redis_py.Redis) -> dict[int, dict[str, str]]:
    """Return the clients of the server that are not of this process, by their ports."""
    ours = own_ports()
    return {
        port: entry
        for entry in client.client_list()
        if (port := int(entry["addr"].rpartition(":")[2])) not in ours
    }


def _tell(strangers: dict[int, dict[str, str]]) -> list[str]:
    """Tell which processes they are."""
    pids = {c.laddr.port: c.pid for c in psutil.net_connections("tcp") if c.laddr}
    return [
        f"pid {pids.get(port)} ({entry['name'] or 'no name'}, last: {entry['cmd']})"
        for port, entry in strangers.items()
    ]
