"""Failures that go to other services too, against receivers on this host."""

from __future__ import annotations

import hashlib
import hmac
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from resqued import Client, Failure
from resqued.config.settings import AppSettings
from resqued.errors import ConfigError
from resqued.failure.backend_lookup import backend_of
from resqued.failure.redis_backends import RedisBackend, RedisMultiQueueBackend
from resqued.store.connection import Link
from resqued.wire.keys import Keys
from tests.support.daemon import Daemon
from tests.support.receivers import Receiver, receiver
from tests.support.wait import wait_until

FAILING = b'{"class":"Boom","args":[%d]}'
# A worker, a job that raises, and one that dies by a signal.
APP = ("default", "-a", "tests.compat.jobs", "-n", "1", "-c", "resqued.toml")


@pytest.fixture
def push(redis: redis_py.Redis) -> Callable[[int], None]:
    def push(count: int) -> None:
        jobs = [FAILING % number for number in range(count)]
        redis.rpush("resque:queue:default", *jobs)
        redis.sadd("resque:queues", "default")

    return push


def configure(folder: Path, backends: list[str], **keys: object) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    text = "\n".join(["[failure]", f"backends = {json.dumps(backends)}", *lines])
    (folder / "resqued.toml").write_text(text)


def arguments(requests: list[Any]) -> list[int]:
    bodies = [json.loads(request.body) for request in requests]
    return sorted(body["failure"]["payload"]["args"][0] for body in bodies)


def test_each_failure_reaches_each_service_once_and_redis_always(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, push: Callable[[int], None]
) -> None:
    names = ["webhook", "sentry", "airbrake", "log", "tests.support.pagers.Pager"]
    pages = tmp_path / "pages"
    with receiver() as web, receiver() as sentry, receiver(lambda _: 201) as air:
        configure(tmp_path, names, webhook_url=f"{web.url}/hook?key=1")
        env = {
            "RESQUED_WEBHOOK_SECRET": "hush",
            "SENTRY_DSN": f"http://key@127.0.0.1:{sentry.port}/7",
            "AIRBRAKE_PROJECT_ID": "12",
            "AIRBRAKE_PROJECT_KEY": "abc",
            "AIRBRAKE_HOST": air.url,
            "PAGER_FILE": str(pages),
        }
        with Daemon(*APP, "-r", redis_url, cwd=tmp_path, env=env) as daemon:
            push(3)
            redis.rpush("resque:queue:default", b'{"class":"DieN","args":[9]}')
            wait_until(lambda: redis.llen("resque:failed") == 4, what="4 failures")
            for name, where in (("webhook", web), ("sentry", sentry), ("air", air)):
                wait_until(lambda w=where: len(w.requests) >= 4, what=name)
            wait_until(
                lambda: pages.exists() and len(pages.read_text().splitlines()) >= 4,
                what="pages of the application's own back end",
            )
            wait_until(
                lambda: len(_logged(daemon)) >= 4, what="lines of standard logging"
            )
            wait_until(lambda: not _outboxes(redis), what="the outboxes to be empty")
        counts = [len(r.requests) for r in (web, sentry, air)]
        assert counts == [4, 4, 4]
    assert len(pages.read_text().splitlines()) == len(_logged(daemon)) == 4
    assert arguments(web.requests) == [0, 1, 2, 9]
    _check_signature(web)
    envelope = sentry.requests[0]
    assert envelope.path == "/api/7/envelope/"
    _, _, item = envelope.body.split(b"\n")[:3]
    (exception,) = json.loads(item)["exception"]["values"]
    assert exception["type"] == "ValueError"
    assert exception["stacktrace"]["frames"]
    assert air.requests[0].path == "/api/v3/projects/12/notices"


def _logged(daemon: Daemon) -> list[dict[str, Any]]:
    lines = daemon.events("output")
    return [line for line in lines if "of queue default failed" in line["message"]]


def _outboxes(redis: redis_py.Redis) -> list[bytes]:
    keys = redis.keys("resque:resqued:outbox:*")
    return [key for key in keys if redis.type(key) == b"list"]


def _check_signature(web: Receiver) -> None:
    request = web.requests[0]
    assert request.path == "/hook?key=1"
    time_, _, digest = request.headers["Resqued-Signature"].partition(",v1=")
    text = time_.removeprefix("t=").encode() + b"." + request.body
    assert digest == hmac.new(b"hush", text, hashlib.sha256).hexdigest()
    ids = {r.headers["Resqued-Delivery"] for r in web.requests}
    assert len(ids) == 4


@pytest.mark.parametrize("first", [500, 429, 0])
def test_a_failure_comes_again_until_the_service_takes_it(
    redis: redis_py.Redis,
    redis_url: str,
    tmp_path: Path,
    push: Callable[[int], None],
    first: int,
) -> None:
    with receiver(lambda number: 200 if number else first) as web:
        url = f"{web.url}/"
        configure(tmp_path, ["webhook"], webhook_url=url, delivery_timeout=0.5)
        with Daemon(*APP, "-r", redis_url, cwd=tmp_path) as daemon:
            push(2)
            wait_until(lambda: len(web.accepted()) >= 2, what="two deliveries")
            wait_until(lambda: not _outboxes(redis), what="the outbox to be empty")
            assert daemon.events("delivery_failed")
    assert arguments(web.accepted()) == [0, 1]
    assert len({r.headers["Resqued-Delivery"] for r in web.requests}) == 2
    assert redis.llen("resque:failed") == 2


def test_sentry_gets_local_variables_and_of_a_death_the_record(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, push: Callable[[int], None]
) -> None:
    with receiver() as sentry:
        configure(tmp_path, ["sentry"], locals=True)
        env = {"SENTRY_DSN": f"http://key@127.0.0.1:{sentry.port}/7"}
        with Daemon(*APP, "-r", redis_url, cwd=tmp_path, env=env) as daemon:
            push(1)
            redis.rpush("resque:queue:default", b'{"class":"DieN","args":[9]}')
            wait_until(lambda: len(sentry.requests) == 2, what="both failures")
            assert not daemon.events("capture_failed")
    found = {}
    for request in sentry.requests:
        event = json.loads(request.body.split(b"\n")[2])
        (exception,) = event["exception"]["values"]
        found[exception["type"]] = exception
    frames = found["ValueError"]["stacktrace"]["frames"]
    assert frames[-1]["vars"] == {"args": ["0"]}
    assert "Resque::DirtyExit" in found
    assert redis.llen("resque:failed") == 2


def test_what_is_refused_is_not_sent_again(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, push: Callable[[int], None]
) -> None:
    with receiver(lambda number: 200 if number else 400) as web:
        configure(tmp_path, ["webhook"], webhook_url=f"{web.url}/secret")
        with Daemon(*APP, "-r", redis_url, cwd=tmp_path) as daemon:
            push(2)
            wait_until(lambda: len(web.accepted()) == 1, what="one delivery")
            (refused,) = daemon.events("delivery_refused")
    assert "secret" not in refused["error"]
    assert len(web.requests) == 2


@pytest.mark.parametrize("name", ["Dying", "Hanging"])
def test_a_back_end_that_dies_or_hangs_delays_no_other_and_loses_nothing(
    redis: redis_py.Redis,
    redis_url: str,
    tmp_path: Path,
    push: Callable[[int], None],
    name: str,
) -> None:
    bad = f"tests.support.pagers.{name}"
    with receiver() as web:
        configure(tmp_path, ["webhook", bad], webhook_url=web.url, delivery_timeout=0.5)
        with Daemon(*APP, "-r", redis_url, cwd=tmp_path) as daemon:
            push(5)
            wait_until(lambda: len(web.requests) == 5, what="five deliveries")
            event = "deliverer_died" if name == "Dying" else "delivery_failed"
            daemon.wait_for_event(event)
            assert redis.llen("resque:failed") == 5
    waiting = redis.llen(f"resque:resqued:outbox:{bad}")
    assert waiting + redis.llen(f"resque:resqued:outbox:hand:{bad}") == 5


@pytest.mark.parametrize("ends_by", ["exit", "exception"])
def test_a_failure_that_ends_the_deliverer_holds_up_no_other(
    redis: redis_py.Redis,
    redis_url: str,
    tmp_path: Path,
    push: Callable[[int], None],
    ends_by: str,
) -> None:
    name = "tests.support.pagers.Picky"
    configure(tmp_path, [name])
    pages = tmp_path / "pages"
    env = {"PAGER_FILE": str(pages), "PAGER_ENDS_BY": ends_by}
    with Daemon(*APP, "-r", redis_url, cwd=tmp_path, env=env) as daemon:
        push(4)
        wait_until(
            lambda: pages.exists() and len(pages.read_text().split()) == 3,
            what="the other three failures",
        )
        event = "deliverer_died" if ends_by == "exit" else "delivery_failed"
        logged = daemon.wait_for_event(event)[0]
        if ends_by == "exit":
            assert logged["reason"] == "it exited with status 3"
    waiting = redis.llen(f"resque:resqued:outbox:{name}")
    assert waiting + redis.llen(f"resque:resqued:outbox:hand:{name}") == 1


def test_a_reload_changes_the_back_ends(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, push: Callable[[int], None]
) -> None:
    configure(tmp_path, ["redis"])
    with receiver() as web, Daemon(*APP, "-r", redis_url, cwd=tmp_path) as daemon:
        push(1)
        wait_until(lambda: redis.llen("resque:failed") == 1, what="a failure")
        assert not redis.keys("resque:resqued:outbox:*")
        configure(tmp_path, ["redis_multi_queue", "webhook"], webhook_url=web.url)
        daemon.signal(signal.SIGHUP)
        daemon.wait_for_event("reload_done")
        push(1)
        wait_until(lambda: len(web.requests) == 1, what="a delivery")
        assert redis.llen("resque:default_failed") == 1


def test_a_service_that_hangs_slows_no_job(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path, push: Callable[[int], None]
) -> None:
    """What it costs them is measured by bench/hanging.py."""
    jobs = 150
    with receiver(lambda _: 0) as web:
        configure(tmp_path, ["webhook"], webhook_url=web.url, delivery_timeout=600)
        with Daemon(*APP, "-r", redis_url, cwd=tmp_path) as daemon:
            push(1)
            wait_until(lambda: web.requests, what="the delivery that hangs")
            push(jobs - 1)
            # A job that waited for the service once would take ten minutes.
            wait_until(lambda: redis.llen("resque:failed") == jobs, what="all")
            assert not daemon.events("delivery_failed")
        assert len(web.requests) == 1


def test_lists_are_trimmed_in_small_steps(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    now = time.time()
    young, old = (
        time.strftime("%Y/%m/%d %H:%M:%S UTC", time.gmtime(now - age))
        for age in (0, 7200)
    )
    entries = [f'{{"failed_at":"{old}","queue":"{n}"}}' for n in range(1200)]
    entries += [f'{{"failed_at":"{young}","queue":"{n}"}}' for n in range(10)]
    redis.rpush("resque:failed", *entries)
    redis.sadd("resque:failed_queues", "mail_failed")
    redis.rpush("resque:mail_failed", *entries[-3:])
    configure(tmp_path, ["redis"], max_failures=1100, max_age="1h")
    with Daemon(*APP, "-r", redis_url, cwd=tmp_path) as daemon:
        wait_until(lambda: redis.llen("resque:failed") == 10, what="ten failures")
        told = daemon.wait_for_event("failures_trimmed")
        wait_until(lambda: len(daemon.events("failures_trimmed")) == 2, what="both")
        told = daemon.events("failures_trimmed")
    assert [(t["reason"], t["failures"]) for t in told] == [
        ("max_failures", 110),
        ("max_age", 1090),
    ]
    assert redis.llen("resque:mail_failed") == 3
    assert redis.lindex("resque:failed", 0) == entries[1200].encode()


def test_redis_back_ends_have_the_interface(
    redis: redis_py.Redis, redis_url: str
) -> None:
    link, keys = Link(redis_url, timeout=30, namespace="resque"), Keys()
    failure = Failure(b'{"payload":{"class":"Ok","args":[1]},"queue":"mail"}')
    for kind, key in (
        (RedisBackend, "resque:failed"),
        (RedisMultiQueueBackend, "resque:mail_failed"),
    ):
        backend = kind(link, keys)
        backend.save(failure, "")
        assert redis.lrange(key, 0, -1) == [failure.entry]
        (found,) = backend.page()
        assert backend.count() == 1
        assert backend.retry(found)
        assert backend.clear_retried() == 1
        backend.save(failure, "")
        assert backend.remove(backend.page()[0])
        backend.save(failure, "")
        assert backend.clear() == 1
        assert backend.url == ""
    link.close()
    Client(redis_url).close()


# Sentry's package asks which others are installed; one of them warns of itself.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["webhook", "sentry", "airbrake", "json.JSONDecoder", "tests.nothing.At"]
)
def test_a_back_end_that_cannot_be_made_says_why(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("SENTRY_DSN", "AIRBRAKE_PROJECT_ID"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match="back end"):
        backend_of(name, AppSettings("redis://localhost"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "dsn", ["https://key@host:port/1", "https://key@host:99999/1", "https://key@[::1/1"]
)
def test_a_wrong_dsn_is_said_and_not_shown(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The zygote makes this back end, too, if it is to send local variables."""
    monkeypatch.setenv("SENTRY_DSN", dsn)
    with pytest.raises(ConfigError, match="needs the DSN of a project") as caught:
        backend_of("sentry", AppSettings("redis://localhost"))
    assert "key" not in str(caught.value)


def test_a_module_that_ends_its_process_is_no_back_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ending_module.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(ConfigError, match=r"ending_module\.At: SystemExit: 3"):
        backend_of("ending_module.At", AppSettings("redis://localhost"))


def test_a_zygote_loads_no_service_that_wants_no_exception() -> None:
    """What it loads is memory that each of its forks pays for."""
    code = (
        "import sys\n"
        "from resqued.config.settings import AppSettings\n"
        "from resqued.failure import capturing\n"
        "names = ('webhook', 'sentry', 'airbrake', 'log')\n"
        "capturing.prepare(AppSettings(url='redis://x', failure_backends=names))\n"
        "print(*{'sentry_sdk', 'pybrake', 'resqued.failure.http_post',"
        " 'resqued.failure.backend_lookup'} & sys.modules.keys())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
