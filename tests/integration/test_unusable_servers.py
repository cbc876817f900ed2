"""What answers at the URL is no Redis that can be used: one line, and exit code 78."""

from __future__ import annotations

import socket
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

import resqued
from resqued.errors import StoreError, UnusableServerError
from resqued.store.connection import Link, SingleLink
from tests.support.daemon import Daemon
from tests.support.refusing_server import serving

NO_DATABASE = "ERR DB index is out of range"
CROSSSLOT = "CROSSSLOT Keys in request don't hash to the same slot"
UNKNOWN = "ERR unknown command 'EVALSHA', with args beginning with: 'x' '5'"


def serve(connection: socket.socket, replies: dict[bytes, bytes]) -> None:
    with connection:
        while data := connection.recv(65536):
            for word in data.split(b"\r\n"):
                if word in replies:
                    connection.sendall(replies[word])


def hang_up(connection: socket.socket) -> None:
    with connection:
        connection.recv(65536)


def replying(replies: dict[bytes, bytes]) -> AbstractContextManager[str]:
    """A server that gives its replies to words, and none to others; yields its URL."""
    return serving(lambda connection: serve(connection, replies))


def answering(error: str) -> AbstractContextManager[str]:
    """A server that answers with an error what needs a key."""
    reply = f"-{error}\r\n".encode()
    return replying(
        {
            b"HELLO": b"-ERR unknown command 'HELLO'\r\n",
            b"CLIENT": b"+OK\r\n",
            b"PING": b"+PONG\r\n",
            **dict.fromkeys((b"EVALSHA", b"EVAL", b"LLEN", b"SELECT"), reply),
        }
    )


HOPELESS = [
    (CROSSSLOT, "namespace 'resque' has keys in several slots .* -N '{resque}'"),
    (UNKNOWN, "unknown command 'EVALSHA'.*: check the port"),
]


@pytest.mark.parametrize(("reply", "words"), HOPELESS)
@pytest.mark.parametrize("kind", [Link, SingleLink])
def test_a_server_that_can_never_do_it_is_named(
    reply: str, words: str, kind: type[Link]
) -> None:
    with (
        answering(reply) as url,
        closing(kind(url)) as link,
        pytest.raises(UnusableServerError, match=words),
    ):
        link.call("LLEN", "resque:queue:q")


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ("READONLY You can't write against a read only replica.", ": READONLY You"),
        ("LOADING Redis is loading", ": LOADING Redis"),
        ("CLUSTERDOWN The cluster is down", ": CLUSTERDOWN The"),
        ("NOPERM this user has no permissions", ": NOPERM this"),
        ("MISCONF Redis is configured", ": MISCONF Redis"),
    ],
)
@pytest.mark.parametrize("kind", [Link, SingleLink])
def test_the_first_word_of_an_error_is_shown(
    reply: str, words: str, kind: type[Link]
) -> None:
    with answering(reply) as url, closing(kind(url)) as link:
        with pytest.raises(StoreError, match=words) as caught:
            link.call("LLEN", "resque:queue:q")
        assert not isinstance(caught.value, UnusableServerError)


@pytest.mark.parametrize("kind", [Link, SingleLink])
def test_another_program_at_the_port_is_no_protocol_error(kind: type[Link]) -> None:
    page = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with (
        replying(dict.fromkeys((b"HELLO", b"PING", b"LLEN"), page)) as url,
        closing(kind(url)) as link,
        pytest.raises(UnusableServerError, match="no Redis answers there"),
    ):
        link.call("LLEN", "resque:queue:q")


@pytest.mark.parametrize("kind", [Link, SingleLink])
@pytest.mark.parametrize(
    "refusal", ["unsupported command", "ERR unknown command", "NOPROTO no"]
)
def test_a_proxy_may_refuse_hello_in_words_of_its_own(
    refusal: str, kind: type[Link]
) -> None:
    replies = {b"HELLO": f"-{refusal}\r\n".encode(), b"LLEN": b":3\r\n"}
    with (
        replying({**replies, b"CLIENT": b"+OK\r\n", b"PING": b"+PONG\r\n"}) as url,
        closing(kind(url)) as link,
    ):
        assert link.call("LLEN", "resque:queue:q") == 3


@pytest.mark.parametrize("kind", [Link, SingleLink])
def test_a_server_that_hangs_up_at_once_may_want_tls(kind: type[Link]) -> None:
    with (
        serving(hang_up) as url,
        closing(kind(url)) as link,
        pytest.raises(StoreError, match="with TLS needs rediss://"),
    ):
        link.call("LLEN", "resque:queue:q")


def test_the_library_says_so_too() -> None:
    with (
        answering(CROSSSLOT) as url,
        closing(resqued.Client(url)) as client,
        pytest.raises(resqued.ConfigError, match=r"-N '\{resque\}' or"),
    ):
        client.size("q")


def test_a_redirect_is_not_followed_if_keys_are_in_several_slots() -> None:
    """Not even by a server without HELLO, which does not say that it is a cluster."""
    with (
        answering("MOVED 2409 127.0.0.1:1") as url,
        closing(resqued.Client(url)) as client,
        pytest.raises(resqued.ConfigError, match=r"-N '\{resque\}' or"),
    ):
        client.size("q")


def test_a_redirect_by_a_server_that_is_gone_is_an_outage() -> None:
    with (
        answering("MOVED 2409 127.0.0.1:1") as url,
        closing(SingleLink(url, namespace="{resque}")) as link,
        pytest.raises(StoreError, match=r"Connection refused|MOVED"),
    ):
        link.call("LLEN", "{resque}:queue:q")


def test_a_database_that_the_server_does_not_have_is_a_fault_of_the_url() -> None:
    with (
        answering(NO_DATABASE) as url,
        closing(Link(url.replace("/0", "/99"))) as link,
        pytest.raises(UnusableServerError, match="correct the database in the URL"),
    ):
        link.call("LLEN", "resque:queue:q")


@pytest.mark.parametrize("reply", [CROSSSLOT, UNKNOWN])
def test_a_master_does_not_start(reply: str, tmp_path: Path) -> None:
    with answering(reply) as url, Daemon("q", "-r", url, cwd=tmp_path) as daemon:
        assert daemon.wait() == 78
        assert "resqued: redis at" in daemon.log()
