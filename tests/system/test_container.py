"""The entry point of the image as process 1, with its configuration, health and stop.

Images cannot be built in a test: what the Containerfile says is run here in
namespaces of its own, without capabilities, against the real server.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis as redis_py

import resqued
from tests.support.daemon import clean_environment
from tests.support.image import PLACE, ROOT, Image, image, pod
from tests.support.pool import failures, left_over, runs
from tests.support.wait import scaled, wait_until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0
    or any(shutil.which(name) is None for name in ("unshare", "nsenter", "setpriv")),
    reason="needs root, unshare, nsenter and setpriv",
)

# A job that continues until the test lets it end.
HOLD = """
import os

import redis
import resqued


@resqued.job(queue="critical", name="Hold")
def hold(number):
    url = os.environ["REDIS_URL"]
    with redis.Redis.from_url(url, socket_timeout=None) as client:
        client.rpush("started", number)
        client.blpop("family")
        client.rpush("runs", number)
"""


class ImagePool:
    """A pool as process 1 of a namespace; enter it to start it."""

    def __init__(self, what: Image, url: str, tmp_path: Path) -> None:
        self._image = what
        self._workdir = tmp_path / "srv"
        self._log = tmp_path / "log"
        self._env = {
            **clean_environment(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RUNTIME_DIRECTORY": str(tmp_path / "run"),
            "REDIS_URL": url,
            "RESQUED_CONFIG": str(PLACE / "resqued.toml"),
            "RESQUED_APP": "myapp.jobs,hold",
        }

    def __enter__(self) -> ImagePool:
        for source, target in self._image.copied:
            if target.startswith("./"):
                place = self._workdir / target
                _copy(ROOT / source, place)
        (self._workdir / "hold.py").write_text(HOLD)
        with self._log.open("wb") as log:
            self._outer = subprocess.Popen(
                [
                    *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
                    *("setpriv", "--no-new-privs", "--bounding-set=-all"),
                    *("--inh-caps=-all", *self._image.entrypoint, *self._image.command),
                ],
                cwd=self._workdir,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._outer.kill()
        self._outer.wait()

    @property
    def master(self) -> psutil.Process:
        """Process 1 of the namespace, as seen from outside."""
        (found,) = psutil.Process(self._outer.pid).children()
        return found

    def begin(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Start a command inside, as `podman exec` does."""
        inside = ("nsenter", "--target", str(self.master.pid), "--pid", "--mount")
        return subprocess.Popen(
            [*inside, "env", f"--chdir={self._workdir}", *command],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, command: Sequence[str]) -> tuple[int, str, str]:
        """Run a command inside; return its status, output and errors."""
        process = self.begin(command)
        output, errors = process.communicate(timeout=scaled(120))
        return process.returncode, output, errors

    def wait_until_well(self) -> None:
        """Wait for the health command of the image to say so."""

        def is_well() -> bool:
            assert self._outer.poll() is None, self._log.read_text()
            children = psutil.Process(self._outer.pid).children()
            return bool(children) and self.run(self._image.health)[0] == 0

        wait_until(is_well, deadline=120, what="a pool that is well")

    def processes(self) -> list[psutil.Process]:
        """Everybody inside, the master first."""
        return [self.master, *self.master.children(recursive=True)]

    def stop(self, name: str) -> None:
        self.master.send_signal(signal.Signals[name])

    def wait(self) -> int:
        return self._outer.wait(scaled(60))

    def log(self) -> str:
        return self._log.read_text()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


@pytest.fixture
def container(redis_url: str, tmp_path: Path) -> Iterator[ImagePool]:
    with ImagePool(image(), redis_url, tmp_path) as running:
        running.wait_until_well()
        yield running


def hold(redis: redis_py.Redis, url: str) -> None:
    """Have a job run that ends when the test says so."""
    resqued.Client(url).enqueue_to("critical", "Hold", 1)
    assert redis.blpop("started", scaled(60))


def of_pod(*names: str) -> list[str]:
    """Return the command of a probe or a hook of the container in the pod."""
    (found,) = pod()["containers"]
    for name in (*names, "exec", "command"):
        found = found[name]
    return found


def test_the_stop_signal_of_the_image_lets_the_running_job_finish(
    container: ImagePool, redis: redis_py.Redis, redis_url: str
) -> None:
    assert len(redis.smembers("resque:workers")) == 3
    hold(redis, redis_url)
    container.stop(image().stop_signal)
    wait_until(lambda: '"state": "quitting"' in container.log())
    # Not ready any more, and no reason to restart it.
    status, _, errors = container.run(image().health)
    assert errors == "resqued: master 1 is quitting: it takes no more jobs\n"
    assert status == 1
    assert container.run(of_pod("livenessProbe"))[0] == 0
    redis.rpush("family", "continue")
    assert container.wait() == 0
    assert runs(redis)["1"] == 1
    assert failures(redis) == []
    assert left_over(redis) == set()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGQUIT"])
def test_before_it_stops_a_pod_has_no_job_left_whatever_signal_follows(
    container: ImagePool, redis: redis_py.Redis, redis_url: str, name: str
) -> None:
    hold(redis, redis_url)
    drain = container.begin(of_pod("lifecycle", "preStop"))
    wait_until(lambda: '"order": "drain"' in container.log())
    assert drain.poll() is None
    redis.rpush("family", "continue")
    output, errors = drain.communicate(timeout=scaled(60))
    assert (output, errors) == ("master 1 is paused, and no job runs\n", "")
    assert runs(redis)["1"] == 1
    # A pause is no fault.
    assert container.run(of_pod("readinessProbe"))[0] == 0
    container.stop(name)
    assert container.wait() == 0
    assert failures(redis) == []
    assert left_over(redis) == set()


def test_sigterm_lets_the_running_job_finish_too(
    container: ImagePool, redis: redis_py.Redis, redis_url: str
) -> None:
    hold(redis, redis_url)
    container.stop("SIGTERM")
    wait_until(lambda: '"state": "quitting"' in container.log())
    redis.rpush("family", "continue")
    assert container.wait() == 0
    assert (runs(redis)["1"], failures(redis)) == (1, [])


def test_a_reload_that_is_told_to_all_of_the_container_is_one_of_the_master(
    container: ImagePool, redis: redis_py.Redis, redis_url: str
) -> None:
    hold(redis, redis_url)
    all_processes = container.processes()
    assert len(all_processes) > 5
    for process in all_processes:
        # The master, told first, may have replaced somebody already.
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGHUP)
    wait_until(lambda: '"reload_started"' in container.log())
    redis.rpush("family", "continue")
    wait_until(lambda: '"reload_done"' in container.log(), what="the reload")
    assert container.log().count('"reload_started"') == 1
    container.stop("SIGQUIT")
    assert container.wait() == 0
    assert (runs(redis)["1"], failures(redis)) == (1, [])


def test_what_the_producer_enqueues_is_run(
    container: ImagePool, redis: redis_py.Redis
) -> None:
    status, _, errors = container.run(["python", "produce.py"])
    assert (status, errors) == (0, "")
    wait_until(
        lambda: int(redis.get("resque:stat:processed") or 0) >= 5,
        deadline=60,
        what="the jobs of the example",
    )
    assert failures(redis) == []
