"""The application in examples/, as a reader runs it."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from tests.support.daemon import ROOT, Daemon, clean_environment
from tests.support.wait import wait_until


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    received: list[tuple[bytes, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((body, self.headers["X-Signature"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[bytes, str]]]]:
    """Return the URL of a server, and the bodies and signatures that it gets."""
    received: list[tuple[bytes, str]] = []
    kind = type("ReceiverOfTest", (Receiver,), {"received": received})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/paid", received
        server.shutdown()
        thread.join()


@pytest.mark.skipif(shutil.which("git") is None, reason="an example needs git")
def test_every_example_does_what_it_says(
    redis: redis_py.Redis,
    redis_url: str,
    tmp_path: Path,
    receiver: tuple[str, list[tuple[bytes, str]]],
) -> None:
    here = tmp_path / "examples"
    shutil.copytree(
        ROOT / "examples", here, ignore=shutil.ignore_patterns("data", "__pycache__")
    )
    env = {"TMPDIR": str(tmp_path), "REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)}
    url, received = receiver
    subprocess.run(
        [sys.executable, "produce_all.py", url],
        cwd=here,
        env=clean_environment() | env,
        check=True,
        timeout=120,
    )
    data, client = here / "data", resqued.Client(redis_url)
    outcomes = [
        tmp_path / "myapp.tar.gz",
        data / "archives" / "library-master.tar.gz",
        *(data / "cache" / f"{page}.html" for page in ("front", "prices", "contact")),
        data / "invoice-42.txt",
    ]
    options = ("-c", "resqued.toml", "-r", redis_url)
    with Daemon(*options, cwd=here, env=env):
        for path in outcomes:
            wait_until(path.exists, what=f"{path.name} of a job")
        wait_until(lambda: len(received) == 1, what="the web hook")
        wait_until(lambda: client.info().pending == 0, what="the last job")
    assert client.failures.count() == 0
    with tarfile.open(data / "archives" / "library-master.tar.gz") as tar:
        assert tar.getnames() == ["README"]
    assert (data / "invoice-42.txt").read_text() == "to ada@example.org\n"
    ((body, signature),) = received
    assert json.loads(body) == {"event": "paid", "facts": {"invoice": 42}}
    expected = hmac.new(b"change me", body, hashlib.sha256).hexdigest()
    assert signature == f"sha256={expected}"
    (waiting,) = client.delayed
    assert waiting.class_name == "myapp.accounts.Account.send_invoice"
    assert waiting.args == (1, 43)


def test_no_payload_calls_a_method_that_is_not_listed(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "examples" / "myapp", tmp_path / "myapp")
    client = resqued.Client(redis_url)
    names = ("delete", "create", "find", "__init__", "__class__")
    for name in (*names, "send_invoice"):
        client.enqueue_to("mail", f"myapp.accounts.Account.{name}", 404)
    options = ("mail", "-a", "myapp.accounts", "-r", redis_url, "--burst")
    with Daemon(*options, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}) as daemon:
        assert daemon.wait() == 0
    entries = client.failures.page(0, 10)
    by_name = {e.class_name.rpartition(".")[2]: e.exception for e in entries}
    refused = dict.fromkeys(names, "resqued.errors.JobClassError")
    assert by_name == refused | {"send_invoice": "resqued.errors.ObjectNotFoundError"}
