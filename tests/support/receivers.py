"""Services on this host that get failures: they answer, refuse, or say nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

# Returns the status of the answer to the request of this number; 0 for no answer.
Answer = Callable[[int], int]


class Request(NamedTuple):
    """One request: what it asked for, and what it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int


class Receiver:
    """An HTTP server on the loopback that keeps what it was sent."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[Request] = []
        self.released = threading.Event()
        receiver, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    status = answer(len(receiver.requests))
                    request = Request(self.path, dict(self.headers), body, status)
                    receiver.requests.append(request)
                if not status:
                    receiver.released.wait()
                    return
                text = json.dumps({"id": "1"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def accepted(self) -> list[Request]:
        """The requests that were answered with success."""
        return [r for r in self.requests if 200 <= r.status < 300]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiver(answer: Answer = lambda _: 200) -> Iterator[Receiver]:
    """Run a receiver."""
    found = Receiver(answer)
    found.start()
    try:
        yield found
    finally:
        found.stop()
