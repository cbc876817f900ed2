"""The suite's own tools: the failing network, the waiting, the watched daemon."""

from __future__ import annotations

import os
import signal
import socket
import sys
import textwrap
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from redis import ConnectionError as Disconnected
from redis import Redis
from redis import TimeoutError as TimedOut
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.daemon import Daemon
from tests.support.processes import is_alive
from tests.support.proxy import Proxy, frame_end
from tests.support.wait import scaled, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


PATIENCE, IMPATIENCE = scaled(30), 0.3


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(proxy: Proxy, clients: ExitStack) -> Redis:
    """A client that is connected already and tries nothing twice."""
    client = Redis.from_url(
        proxy.url,
        protocol=2,
        socket_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
    )
    clients.enter_context(client)
    client.ping()
    return client


@contextmanager
def no_answer(client: Redis) -> Iterator[None]:
    """Expect that what is asked in here gets no answer, and do not wait long for it.

    An answer that is to come has time elsewhere: on a busy machine it may be late.
    """
    connection = client.connection
    connection.socket_timeout = IMPATIENCE
    connection.update_current_socket_timeout(IMPATIENCE)
    with pytest.raises(TimedOut):
        yield
    # The connection is lost; the next one is patient again.
    connection.disconnect()
    connection.socket_timeout = PATIENCE


def test_everything_goes_through(
    proxy: Proxy, clients: ExitStack, redis: Redis
) -> None:
    value = os.urandom(3 << 20)
    many = [connect(proxy, clients) for _ in range(100)]
    for number, client in enumerate(many):
        client.rpush("list", number)
    assert many[0].set("key", value)
    assert many[1].get("key") == value
    assert redis.lrange("list", 0, -1) == [b"%d" % n for n in range(100)]
    assert proxy.counts() == (100, 100, 0)
    for client in many:
        client.close()
    wait_until(lambda: proxy.counts().open == 0, what="the end of all connections")


def test_a_lost_reply_is_that_of_a_command_carried_out(
    proxy: Proxy, clients: ExitStack, redis: Redis
) -> None:
    client = connect(proxy, clients)
    proxy.swallow_replies(1)
    with no_answer(client):
        client.incr("counter")
    wait_until(lambda: proxy.counts().lost == 1, what="the loss")
    assert redis.get("counter") == b"1"
    assert client.incr("counter") == 2
    assert proxy.counts().lost == 1


def test_nothing_comes_behind_a_lost_reply(proxy: Proxy, clients: ExitStack) -> None:
    connect(proxy, clients)
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        proxy.swallow_replies(1)
        raw.sendall(b"PING\r\nPING\r\n")
        wait_until(lambda: proxy.counts().lost, what="the loss")
        raw.sendall(b"PING\r\n")
        assert connect(proxy, clients).ping()
        proxy.forward()
        assert raw.recv(100) == b""


def test_a_loss_may_be_that_of_one_command_alone(
    proxy: Proxy, clients: ExitStack
) -> None:
    one, other = (connect(proxy, clients) for _ in range(2))
    proxy.swallow_replies(1, of="queue:high")
    assert one.incr("counter") == 1
    assert other.incr("counter") == 2
    with no_answer(other):
        other.lpop("queue:high")
    wait_until(lambda: proxy.counts().lost == 1, what="the loss")
    assert one.lpop("queue:high") is None


def test_a_loss_may_be_that_of_the_connections_open_now(
    proxy: Proxy, clients: ExitStack
) -> None:
    old = connect(proxy, clients)
    proxy.swallow_replies(existing_only=True)
    new = connect(proxy, clients)
    for _ in range(2):
        with no_answer(old):
            old.ping()
        assert new.ping()
        assert old.ping()
        proxy.swallow_replies(existing_only=True)
        new = connect(proxy, clients)


def test_replies_are_lost_until_told_otherwise(
    proxy: Proxy, clients: ExitStack
) -> None:
    client = connect(proxy, clients)
    proxy.swallow_replies()
    for _ in range(3):
        with no_answer(client):
            client.ping()
    wait_until(lambda: proxy.counts().lost == 3, what="the loss of three")
    proxy.forward()
    assert client.ping()


def test_a_push_is_no_reply(proxy: Proxy, clients: ExitStack, redis: Redis) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        raw.settimeout(PATIENCE)
        raw.sendall(b"HELLO 3\r\nCLIENT TRACKING ON\r\nGET key\r\nPING\r\n")
        received = b""
        while not received.endswith(b"+PONG\r\n"):
            received += raw.recv(1000)
        proxy.swallow_replies(1)
        redis.set("key", "value")
        assert raw.recv(100) == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$3\r\nkey\r\n"
        assert proxy.counts().lost == 0
        raw.sendall(b"PING\r\n")
        wait_until(lambda: proxy.counts().lost == 1, what="the loss")


def test_nothing_leaves_a_black_hole(
    proxy: Proxy, clients: ExitStack, redis: Redis
) -> None:
    client = connect(proxy, clients)
    proxy.black_hole()
    for _ in range(2):
        with no_answer(client):
            client.incr("counter")
    with socket.create_connection(("127.0.0.1", proxy.port)) as raw:
        raw.sendall(b"INCR counter\r\n")
        proxy.forward()
        assert raw.recv(100) == b""
    assert client.incr("counter") == 1
    assert redis.get("counter") == b"1"


def test_a_server_does_not_hear_of_a_client_gone_behind_a_black_hole(
    proxy: Proxy, clients: ExitStack, redis: Redis
) -> None:
    client, other = (connect(proxy, clients) for _ in range(2))
    client.client_setname("lost")

    def is_known() -> bool:
        return "lost" in [entry["name"] for entry in redis.client_list()]

    proxy.black_hole()
    client.close()
    with no_answer(other):
        other.ping()
    assert is_known()
    proxy.forward()
    wait_until(lambda: not is_known(), what="the end of the connection")


def test_what_was_held_arrives_late(
    proxy: Proxy, clients: ExitStack, redis: Redis
) -> None:
    client = connect(proxy, clients)
    proxy.hold()
    with no_answer(client):
        client.incr("counter")
    assert redis.get("counter") is None
    proxy.forward()
    wait_until(lambda: redis.get("counter") == b"1", what="the late command")
    assert client.incr("counter") == 2


def test_refusing_is_for_new_connections(proxy: Proxy, clients: ExitStack) -> None:
    client = connect(proxy, clients)
    for _ in range(2):
        proxy.refuse()
        assert client.ping()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", proxy.port))
        proxy.forward()
        assert connect(proxy, clients).ping()
    assert client.ping()


def test_cutting_is_for_open_connections(proxy: Proxy, clients: ExitStack) -> None:
    many = [
        clients.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
        for _ in range(10)
    ]
    assert proxy.counts() == (10, 10, 0)
    assert proxy.cut() == (10, 0, 0)
    assert [raw.recv(100) for raw in many] == [b""] * 10
    assert connect(proxy, clients).ping()


def test_a_server_that_is_down_is_down_behind_the_proxy(clients: ExitStack) -> None:
    # Bound, and nobody listens: no other gets the port.
    with socket.socket() as holder, ExitStack() as stack:
        holder.bind(("127.0.0.1", 0))
        proxy = stack.enter_context(Proxy(holder.getsockname()[1]))
        for _ in range(3):
            with pytest.raises(Disconnected):
                connect(proxy, clients)
        wait_until(lambda: proxy.counts() == (3, 0, 0))


@pytest.mark.parametrize(
    "frame",
    [
        b"+OK\r\n",
        b":12\r\n",
        b"_\r\n",
        b"$3\r\na\r\n\r\n",
        b"$-1\r\n",
        b"$0\r\n\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        b"%1\r\n+a\r\n*2\r\n#t\r\n,1.5\r\n",
        b"~1\r\n=5\r\ntxt:a\r\n",
        b"|1\r\n+a\r\n+b\r\n+OK\r\n",
        b">2\r\n$10\r\ninvalidate\r\n_\r\n",
    ],
)
def test_values_are_told_apart_on_the_wire(frame: bytes) -> None:
    assert frame_end(bytearray(frame)) == len(frame)
    assert frame_end(bytearray(frame + b"+NEXT\r\n")) == len(frame)
    for cut in range(len(frame)):
        assert frame_end(bytearray(frame[:cut])) == 0


def test_what_is_not_resp_is_taken_as_it_comes() -> None:
    assert frame_end(bytearray(b"\x16\x03\x01")) == 3


def test_waiting_answers_the_value_waited_for() -> None:
    values: Iterator[object] = iter([0, None, [], "found", "missed"])
    assert wait_until(lambda: next(values)) == "found"


def test_waiting_in_vain_tells_for_what_and_what_came() -> None:
    with pytest.raises(AssertionError, match=r"for a miracle; last value: 0$"):
        wait_until(lambda: 0, deadline=0.01, what="a miracle")


# A master with a zygote and two workers, each with a child. On SIGQUIT it ends
# all of them; with "escape" the children have left its session, and stay.
POOL = """
    import json, os, signal, subprocess, sys

    os.environ["SPT_NOENV"] = "1"
    from setproctitle import setproctitle

    def fork(title, main):
        # It returns when the child has come as far as to wait for its end.
        waits, goes_on = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                setproctitle(title)
                main()
                os.write(goes_on, b".")
                while True:
                    signal.pause()
            finally:
                os._exit(0)
        os.read(waits, 1)
        return pid

    def job():
        if "escape" in sys.argv:
            os.setsid()

    def work():
        fork("resque-1: Processing", job)

    def log(event, **values):
        print(json.dumps({"event": event, **values}), flush=True)

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGQUIT])
    idle = "import signal; signal.pause()"
    subprocess.Popen([sys.executable, "-c", idle, "zygote"])
    workers = [fork("resque-1: Forked", work) for _ in range(2)]
    print("no event")
    log("master_ready", workers=workers)
    signal.sigwait([signal.SIGQUIT])
    log("quitting")
    if "hang" in sys.argv:
        signal.pause()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    if "fail" in sys.argv:
        raise RuntimeError("as asked")
"""


@pytest.fixture
def pool(tmp_path: Path) -> list[str]:
    script = tmp_path / "pool.py"
    script.write_text(textwrap.dedent(POOL))
    return [sys.executable, str(script)]


def wait_until_whole(daemon: Daemon) -> list[int]:
    """Return every pid of a pool that is up."""
    daemon.wait_for_event("master_ready")
    assert len(daemon.children()) == 2
    return [daemon.pid, *daemon.zygotes(), *daemon.workers(), *daemon.children()]


def test_a_daemon_shows_its_processes_and_events(
    tmp_path: Path, pool: list[str]
) -> None:
    with Daemon(command=pool, cwd=tmp_path) as daemon:
        (ready,) = daemon.wait_for_event("master_ready")
        assert daemon.workers() == sorted(ready["workers"])
        pids = wait_until_whole(daemon)
        assert len(daemon.zygotes()) == 1
        assert len(set(pids)) == len(pids) == 6
        assert len(daemon.children(daemon.workers()[0])) == 1
        assert {process.pid for process in daemon.processes()} == set(pids)

        daemon.signal(signal.SIGQUIT)
        assert daemon.wait(10) == 0
        assert not daemon.is_running()
        assert [e["event"] for e in daemon.events()] == ["master_ready", "quitting"]
    assert not any(map(is_alive, pids))


def test_leaving_a_daemon_makes_it_quit(tmp_path: Path, pool: list[str]) -> None:
    with Daemon(command=pool, cwd=tmp_path) as daemon:
        pids = wait_until_whole(daemon)
    assert daemon.events("quitting")
    assert not any(map(is_alive, pids))


def test_a_daemon_that_does_not_quit_is_an_error_and_is_killed(
    tmp_path: Path, pool: list[str]
) -> None:
    def run(*, may_hang: bool) -> None:
        with Daemon(
            "hang", command=pool, cwd=tmp_path, quit_deadline=0.3, may_hang=may_hang
        ) as daemon:
            pids.extend(wait_until_whole(daemon))

    pids: list[int] = []
    with pytest.raises(AssertionError, match="did not end within"):
        run(may_hang=False)
    run(may_hang=True)
    assert len(pids) == 12
    assert not any(map(is_alive, pids))


def test_a_process_left_behind_is_an_error_and_is_killed(
    tmp_path: Path, pool: list[str]
) -> None:
    daemon = Daemon("escape", command=pool, cwd=tmp_path, leave_deadline=2)
    pids = []
    with pytest.raises(AssertionError, match="process left behind: ") as raised, daemon:
        pids = wait_until_whole(daemon)
    assert str(raised.value).count("left behind") == 2
    assert len(pids) == 6
    assert not any(map(is_alive, pids))


def test_a_logged_traceback_is_an_error_unless_expected(
    tmp_path: Path, pool: list[str]
) -> None:
    with (
        pytest.raises(AssertionError, match=r"(?s)it logged a traceback\n.*as asked"),
        Daemon("fail", command=pool, cwd=tmp_path) as daemon,
    ):
        daemon.wait_for_event("master_ready")
    with Daemon("fail", command=pool, cwd=tmp_path, may_log_tracebacks=True) as daemon:
        daemon.wait_for_event("master_ready")
    assert daemon.wait() == 1


def test_waiting_for_an_event_ends_with_the_daemon(tmp_path: Path) -> None:
    code = "import sys; print('last words'); sys.exit(3)"
    with (
        Daemon(command=[sys.executable, "-c", code], cwd=tmp_path) as daemon,
        pytest.raises(AssertionError, match=r"(?s)ended with 3 before .*last words"),
    ):
        daemon.wait_for_event("master_ready")


def test_a_daemon_sees_the_environment_that_the_test_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUEUE", "from outside")
    monkeypatch.setenv("RESQUED_INTERVAL", "from outside")
    code = "import json, os; print(json.dumps({'event': 'env', **os.environ}))"
    with Daemon(
        command=[sys.executable, "-c", code], cwd=tmp_path, env={"COUNT": "2"}
    ) as daemon:
        (env,) = daemon.wait_for_event("env")
    assert "QUEUE" not in env
    assert "RESQUED_INTERVAL" not in env
    assert env["COUNT"] == "2"


def test_the_client_of_the_tests_waits_as_long_as_a_command_says(redis: Redis) -> None:
    settings = redis.connection_pool.connection_kwargs
    assert settings["socket_timeout"] is None
