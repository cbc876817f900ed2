"""Each private part of redis-py that the store uses, held against the installed one.

A failure here says that the installed redis-py is none that resqued works with: adapt
store/redis_internals.py, or bound the version in pyproject.toml.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis as redis_py

import resqued
from resqued.store import redis_internals
from resqued.store.job_queues import Queues
from resqued.store.redis_client import connect
from resqued.store.redis_errors import FAULTS
from tests.support.proxy import Proxy
from tests.support.wait import scaled, wait_until

PING = b"*1\r\n$4\r\nPING\r\n"
INCR = b"*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n"
UNKNOWN = b"*1\r\n$7\r\nUNHEARD\r\n"
HINT = (
    f"redis-py {redis_py.__version__} has changed: see resqued/store/redis_internals.py"
)

Open = Callable[..., Any]


def exchange(connection: Any, command: bytes) -> Any:
    """Send a command and return its reply, as SingleLink.call_packed does."""
    socket, reader = redis_internals.open_raw(connection)
    socket.sendall(command)
    while (reply := reader.gets()) is redis_internals.INCOMPLETE:
        data = socket.recv(16)
        if not data:
            raise redis_py.ConnectionError("end of file")
        reader.feed(data)
    return reply


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def make(redis_url: str, stack: ExitStack) -> Open:
    """Make a connection that is not open yet; it is closed after the test."""

    def make(*, protocol: int = 3, url: str = redis_url, timeout: float = 30) -> Any:
        client = connect(url, timeout=scaled(timeout), protocol=protocol)
        connection = redis_internals.own_connection(client)
        connection.health_check_interval = 0
        stack.callback(client.close)
        stack.callback(connection.disconnect)
        return connection

    return make


both_protocols = pytest.mark.parametrize("protocol", [2, 3])


def test_the_pool_of_a_client_has_make_connection(redis: redis_py.Redis) -> None:
    assert callable(getattr(redis.connection_pool, "make_connection", None)), HINT


@pytest.mark.parametrize("name", ["_sock", "_parser"])
def test_a_connection_has_the_attribute(make: Open, name: str) -> None:
    connection = make()
    assert hasattr(connection, name), f"no {name}: {HINT}"
    exchange(connection, PING)
    assert getattr(connection, name) is not None, f"{name} is None: {HINT}"


@pytest.mark.parametrize("name", ["parse_error", "set_invalidation_push_handler"])
@both_protocols
def test_the_parser_has_the_method(make: Open, name: str, protocol: int) -> None:
    parser = make(protocol=protocol)._parser
    if name == "parse_error" or protocol == 3:
        assert callable(getattr(parser, name, None)), f"no {name}: {HINT}"


def test_the_parser_is_that_of_hiredis(make: Open) -> None:
    """The one that costs a job least, and the only one that is tested."""
    assert "Hiredis" in type(make()._parser).__name__, HINT


@both_protocols
def test_an_own_connection_is_not_open_before_its_first_command(
    make: Open, protocol: int
) -> None:
    connection = make(protocol=protocol)
    assert redis_internals.fileno_of(connection) is None, HINT
    assert exchange(connection, PING) == b"PONG", HINT
    assert redis_internals.fileno_of(connection) == connection._sock.fileno(), HINT


def test_an_own_connection_is_not_closed_with_the_pool(redis_url: str) -> None:
    client = connect(redis_url)
    connection = redis_internals.own_connection(client)
    exchange(connection, PING)
    client.close()
    client.connection_pool.disconnect()
    assert exchange(connection, PING) == b"PONG", HINT
    connection.disconnect()


@both_protocols
def test_an_error_reply_is_returned_and_the_connection_goes_on(
    make: Open, protocol: int
) -> None:
    connection = make(protocol=protocol)
    reply = exchange(connection, UNKNOWN)
    assert isinstance(reply, redis_py.ResponseError), HINT
    assert exchange(connection, PING) == b"PONG", HINT


def test_an_unknown_script_has_an_error_of_its_own(make: Open) -> None:
    call = b"*3\r\n$7\r\nEVALSHA\r\n$40\r\n" + b"0" * 40 + b"\r\n$1\r\n0\r\n"
    reply = exchange(make(), call)
    assert isinstance(reply, redis_py.exceptions.NoScriptError), HINT


@both_protocols
def test_a_server_that_is_loading_is_a_fault_not_an_error_of_the_command(
    make: Open, protocol: int
) -> None:
    _, reader = redis_internals.open_raw(make(protocol=protocol))
    reader.feed(b"-LOADING the dataset\r\n")
    reply = reader.gets()
    assert isinstance(reply, redis_py.ConnectionError), HINT
    assert not isinstance(reply, redis_py.ResponseError), HINT


@both_protocols
def test_a_lost_connection_is_a_fault_and_opens_again_once_closed(
    make: Open, proxy: Proxy, protocol: int
) -> None:
    connection = make(protocol=protocol, url=proxy.url)
    exchange(connection, PING)
    proxy.cut()
    with pytest.raises(FAULTS):
        exchange(connection, PING)
    connection.disconnect()
    assert redis_internals.fileno_of(connection) is None, HINT
    proxy.forward()
    assert exchange(connection, PING) == b"PONG", HINT


@both_protocols
def test_a_reply_that_does_not_come_is_a_fault_after_the_time_out(
    make: Open, proxy: Proxy, redis: redis_py.Redis, protocol: int
) -> None:
    connection = make(protocol=protocol, url=proxy.url, timeout=2)
    exchange(connection, PING)
    proxy.swallow_replies(1)
    with pytest.raises(FAULTS):
        exchange(connection, INCR)
    assert redis.get("counter") == b"1"
    # Nothing of the old connection may answer what is asked on the new one.
    connection.disconnect()
    assert exchange(connection, INCR) == 2, HINT


def tracked(connection: Any) -> list[Any]:
    """Have the connection told of changes of `key`; return where they come in."""
    heard: list[Any] = []
    redis_internals.on_invalidation(connection, heard.append)
    track(connection)
    return heard


def track(connection: Any) -> None:
    for words in (("CLIENT", "TRACKING", "ON"), ("GET", "key")):
        connection.send_command(*words)
        connection.read_response()


def wait_for_word(connection: Any) -> None:
    poll = select.poll()
    poll.register(redis_internals.fileno_of(connection) or -1, select.POLLIN)
    wait_until(lambda: poll.poll(0), what="word from the server")


def test_a_message_alone_is_read_as_one(make: Open, redis: redis_py.Redis) -> None:
    connection = make()
    heard = tracked(connection)
    redis.set("key", 1)
    wait_for_word(connection)
    redis_internals.read_push(connection)
    assert heard == [[b"invalidate", [b"key"]]], HINT
    assert not connection.can_read(timeout=0), HINT


def test_a_database_that_is_emptied_is_a_message_without_keys(
    make: Open, redis: redis_py.Redis
) -> None:
    connection = make()
    heard = tracked(connection)
    redis.flushall()
    wait_for_word(connection)
    redis_internals.read_push(connection)
    assert heard == [[b"invalidate", None]], HINT


def test_the_handler_stays_when_the_connection_is_opened_again(
    make: Open, redis: redis_py.Redis
) -> None:
    connection = make()
    heard = tracked(connection)
    connection.disconnect()
    exchange(connection, PING)
    track(connection)
    redis.set("key", 1)
    wait_for_word(connection)
    redis_internals.read_push(connection)
    assert heard == [[b"invalidate", [b"key"]]], HINT


def test_what_the_pool_is_asked_for_with_options_that_none_has_is_refused() -> None:
    client = redis_py.Redis.from_url("redis://localhost/0?no_such_option=1")
    with pytest.raises((TypeError, ValueError)):
        redis_internals.own_connection(client)


ODD_AND_PLAIN = [
    ("SADD", "set", "a"),
    ("RPUSH", "list", b"\xff\r\n", "", "x" * 100_000),
    ("LLEN", "list"),
    ("LRANGE", "list", 0, -1),
    ("LLEN", "set"),
    ("GET", "nothing"),
    ("EXISTS", "list", "set", "nothing"),
    ("UNHEARD", 1),
    ("EVALSHA", "0" * 40, 0),
]


@both_protocols
def test_packed_commands_have_the_replies_of_a_pipeline(
    redis_url: str, redis: redis_py.Redis, protocol: int
) -> None:
    client = connect(redis_url, protocol=protocol)
    names = {str(command[0]) for command in ODD_AND_PLAIN}
    assert redis_internals.are_plain(client, names), HINT
    assert not redis_internals.are_plain(client, {"LLEN", "HGETALL"}), HINT
    pipe = client.pipeline(transaction=False)
    for command in ODD_AND_PLAIN:
        pipe.execute_command(*command)
    wanted = pipe.execute(raise_on_error=False)
    redis.flushall()
    found = redis_internals.exchange_each(client, ODD_AND_PLAIN)
    assert list(map(repr, found)) == list(map(repr, wanted)), HINT
    assert [type(each) for each in found] == [type(each) for each in wanted], HINT
    assert client.ping()
    client.close()


@both_protocols
def test_replies_that_were_not_read_answer_no_later_command(
    proxy: Proxy, redis: redis_py.Redis, protocol: int
) -> None:
    client = connect(proxy.url, timeout=scaled(2), protocol=protocol)
    incr = ("INCR", "counter")
    assert redis_internals.exchange_each(client, [incr, incr]) == [1, 2], HINT
    proxy.swallow_replies(1)
    with pytest.raises(FAULTS):
        redis_internals.exchange_each(client, [incr])
    assert redis_internals.exchange_each(client, [incr]) == [4], HINT
    client.close()


def test_a_connection_that_was_closed_meanwhile_is_opened_again(
    redis_url: str, redis: redis_py.Redis
) -> None:
    client = connect(redis_url)
    incr = ("INCR", "counter")
    assert redis_internals.exchange_each(client, [incr]) == [1], HINT
    redis.client_kill_filter(_type="normal", skipme=True)
    assert redis_internals.exchange_each(client, [incr]) == [2], HINT
    client.close()


def test_the_lengths_of_ten_thousand_queues_cost_little(
    redis_url: str, redis: redis_py.Redis
) -> None:
    """Processor time, compared with redis-py's pipeline in the same run."""
    names = [f"queue-{number}" for number in range(10_000)]
    redis.sadd("resque:queues", *names)
    redis.rpush("resque:queue:queue-7", "{}", "{}")
    redis.set("resque:queue:queue-8", "no list")
    with resqued.Client(redis_url) as client:
        registry = client.registry
        queues = Queues(registry.link, registry.keys)
        pipe = redis.pipeline(transaction=False)
        took: dict[str, list[float]] = {"pipeline": [], "sizes": []}
        for _ in range(5):
            began = time.process_time()
            for name in names:
                pipe.llen(f"resque:queue:{name}")
            wanted = pipe.execute(raise_on_error=False)
            took["pipeline"].append(time.process_time() - began)
            began = time.process_time()
            found = queues.sizes()
            took["sizes"].append(time.process_time() - began)
    lengths = [n if isinstance(n, int) else 0 for n in wanted]
    assert found == dict(zip(names, lengths, strict=True))
    assert sum(found.values()) == 2
    # This has the names, their order and their decoding too.
    assert min(took["sizes"]) < 0.8 * min(took["pipeline"])
