"""One container for all scenarios, with resqued installed as an admin does it.

Each scenario begins where the one before did: `Host.restore`.
"""

from __future__ import annotations

import shutil
import site
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis as redis_py

from tests.support.container import Container, lacking, open_to_all, python
from tests.support.host import PACKAGES, RESQUED, SHARED, WHEELS, Host
from tests.support.needs import missing
from tests.support.wait import wait_until
from tests.support.wheel import build


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as users get it."""
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def container(wheel: Path) -> Iterator[Container]:
    """A host with systemd and Redis, and a virtual environment with the wheel."""
    here = "" if shutil.which("redis-server") else "no redis-server"
    if what := lacking() or here:
        missing(what)
    # The name of a Unix socket has no room for the name of a test.
    with tempfile.TemporaryDirectory(prefix="rq-") as name:
        place = Path(name)
        shared = place / "shared"
        shared.mkdir()
        shared.chmod(0o755)
        binds = {
            SHARED: shared,
            WHEELS: wheel.parent,
            PACKAGES: Path(site.getsitepackages()[0]),
        }
        with Container(place, binds) as booted:
            _install(booted, wheel)
            _start_redis(booted)
            yield booted


def _install(container: Container, wheel: Path) -> None:
    """Make a virtual environment that has the packages of the tests' own."""
    run = container.run
    open_to_all(container, python().parent)
    run(str(python()), "-m", "venv", "--without-pip", "/opt/resqued")
    script = (
        f"echo {PACKAGES} > $(echo /opt/resqued/lib/python*/site-packages)/tests.pth"
    )
    run("sh", "-c", script)
    pip = ("/opt/resqued/bin/python", "-m", "pip", "install", "--quiet")
    run(
        *(*pip, "--no-index", "--no-deps", "--ignore-installed"),
        *("--root-user-action=ignore", f"{WHEELS}/{wheel.name}"),
    )
    run(RESQUED, "service", "install")


def _start_redis(container: Container) -> None:
    container.run(
        *("systemd-run", "--unit=redis-test", "--quiet", "redis-server"),
        *("--port", "6379", "--save", "", "--unixsocket", f"{SHARED}/redis.sock"),
    )


@pytest.fixture(scope="session")
def shared_redis(container: Container) -> Iterator[redis_py.Redis]:
    socket = container._binds[SHARED] / "redis.sock"
    wait_until(socket.exists, what="redis-server in the container")
    with redis_py.Redis(unix_socket_path=str(socket), socket_timeout=None) as client:
        wait_until(lambda: _answers(client), what="redis-server to answer")
        yield client


def _answers(client: redis_py.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis_py.ConnectionError:
        return False


@pytest.fixture(scope="session")
def _host(container: Container, shared_redis: redis_py.Redis) -> Host:
    return Host(container, container._binds[SHARED], shared_redis)


@pytest.fixture
def host(_host: Host) -> Iterator[Host]:
    """The host, with nothing running and the usual configuration."""
    _host.restore()
    yield _host
    _host.restore()
