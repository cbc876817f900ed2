"""One request to a service that gets failures: odd answers, and what messages say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from resqued.errors import DeliveryError, DeliveryRefused
from resqued.failure.http_post import post

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers one request with these bytes."""
    requests: list[bytes] = []

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            requests.append(connection.recv(65_536))
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", requests
        thread.join(10)


def test_a_name_and_a_password_in_the_address_are_sent() -> None:
    with answering(OK) as (host, requests):
        post(f"http://user:p%40ss@{host}/hook", b"{}", {}, 10)
    assert b"POST /hook HTTP/1.1" in requests[0]
    assert b"Authorization: Basic dXNlcjpwQHNz\r\n" in requests[0]


def test_a_redirect_is_refused_with_the_way_out() -> None:
    moved = b"HTTP/1.1 301 Moved\r\nLocation: /secret\r\nContent-Length: 0\r\n\r\n"
    with (
        answering(moved) as (host, _),
        pytest.raises(DeliveryRefused, match="answers 301: it redirects") as caught,
    ):
        post(f"http://{host}/hook", b"{}", {}, 10)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"Retry-After: 7\r\n", 7),
        (b"Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n", 0),
        (b"Retry-After: -7\r\n", 0),
        (b"", 0),
    ],
)
def test_a_service_may_ask_for_a_pause(field: bytes, seconds: float) -> None:
    answer = b"HTTP/1.1 429 Slow\r\n" + field + b"Content-Length: 0\r\n\r\n"
    with answering(answer) as (host, _), pytest.raises(DeliveryError) as caught:
        post(f"http://{host}/hook", b"{}", {}, 10)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("path", ["hook?key=SECRET x", "hook?key=SECRET\x7f"])
def test_no_message_has_the_address(path: str) -> None:
    with pytest.raises(DeliveryError) as caught:
        post(f"http://127.0.0.1:1/{path}", b"{}", {}, 10)
    assert "SECRET" not in str(caught.value)


def test_no_message_is_as_long_as_an_answer() -> None:
    line = b"SSH-2.0-" + b"x" * 60_000 + b"\r\n"
    with answering(line) as (host, _), pytest.raises(DeliveryError) as caught:
        post(f"http://{host}/hook", b"{}", {}, 10)
    assert len(str(caught.value)) < 500
