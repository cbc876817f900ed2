"""The control socket: real sockets, real peers, some of them in other processes."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import select
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resqued.control import requests, sockets
from resqued.control.protocol import (
    AnyRequest,
    DrainReply,
    DrainRequest,
    KillRequest,
    ReloadReply,
    Reply,
    ScaleReply,
    StackReply,
    StatusRequest,
)
from resqued.control.server import ControlServer, Peer
from resqued.core.lifecycle import Event, State
from resqued.core.timings import DEFAULT_TIMINGS, NEVER
from resqued.errors import ControlError
from resqued.log import logger
from resqued.master.control_handlers import CommandHandlers
from resqued.system.poller import Poller
from tests.support.forking import forked
from tests.support.wait import wait_until

NOBODY = 65534
# A request is shorter than this.
ROOM = 64 * 1024
STATUS = b'{"do":"status"}\n'

Handler = Callable[[Peer, AnyRequest, float], None]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes another user: be root")


class Master:
    """A control socket, and the requests that came in by it."""

    def __init__(self, place: Path, handle: Handler | None = None) -> None:
        handle = handle or (lambda *asked: self.asked.append(asked))
        self.poller = Poller()
        self.control = ControlServer(
            place, handle, self.poller, logger.get(role="master")
        )
        self.asked: list[tuple[Peer, AnyRequest, float]] = []

    @property
    def requests(self) -> list[AnyRequest]:
        return [request for _, request, _ in self.asked]

    def turn(self, now: float = 0.0) -> None:
        """Do what the loop of a master does, until nothing more is to be done."""
        while ready := self.poller.wait(0):
            self.poller.call(ready, now)


class NoDescriptors:
    """Takes every descriptor that this process may still open, and gives them back."""

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, self._limits[1]))
        self._taken: list[int] = []
        with suppress(OSError):
            while True:
                self._taken.append(os.open("/dev/null", os.O_RDONLY))

    def __exit__(self, *_: object) -> None:
        for fd in self._taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


def unsent(master: Master) -> list[int]:
    """Return the descriptors of those whose answers wait for room."""
    watched = master.poller.watched
    return [fd for fd, mask in watched.items() if mask & select.POLLOUT]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def master(place: Path) -> Iterator[Master]:
    made = Master(place)
    made.control.open()
    yield made
    made.control.close()


@contextmanager
def connected(master: Master) -> Iterator[socket.socket]:
    """Connect as a person's program does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(str(master.control.path))
        yield client


def ended_well(pid: int) -> bool:
    how = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return (how.si_code, how.si_status) == (os.CLD_EXITED, 0)


def become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def stack_of(size: int) -> StackReply:
    """Return a reply with so many characters in it."""
    return StackReply(worker="h:1:q", child=2, stack=("x" * size,))


def line_of(size: int) -> dict[str, Any]:
    """Return what is read of such a reply."""
    return {"ok": True, "worker": "h:1:q", "child": 2, "stack": ["x" * size]}


def everything(client: socket.socket) -> list[Any]:
    """Read lines until the other side hangs up."""
    with client.makefile("rb") as file:
        return [json.loads(line) for line in file]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# Where it is


@as_root
@pytest.mark.parametrize(
    ("configured", "environ", "expected"),
    [
        ("/a", {"RUNTIME_DIRECTORY": "/b", "XDG_RUNTIME_DIR": "/c"}, "/a"),
        ("", {"RUNTIME_DIRECTORY": "/b", "XDG_RUNTIME_DIR": "/c"}, "/b"),
        # systemd names all that the unit has.
        ("", {"RUNTIME_DIRECTORY": "/b:/d"}, "/b"),
        ("", {"RUNTIME_DIRECTORY": "", "XDG_RUNTIME_DIR": "/c"}, "/run/resqued"),
        ("", {}, "/run/resqued"),
    ],
)
def test_where_the_sockets_of_root_are(configured, environ, expected):
    assert sockets.directory(configured, environ) == Path(expected)


@pytest.mark.parametrize(
    ("configured", "environ", "expected"),
    [
        ("/a", {"RUNTIME_DIRECTORY": "/b", "XDG_RUNTIME_DIR": "/c"}, "/a"),
        ("", {"RUNTIME_DIRECTORY": "/b", "XDG_RUNTIME_DIR": "/c"}, "/b"),
        ("", {"XDG_RUNTIME_DIR": "/c"}, "/c/resqued"),
        ("", {"XDG_RUNTIME_DIR": ""}, "/tmp/resqued-{uid}"),
        ("", {}, "/tmp/resqued-{uid}"),
    ],
)
def test_where_the_sockets_of_other_users_are(configured, environ, expected):
    def look() -> None:
        if os.geteuid() == 0:
            become(NOBODY)
        path = Path(expected.format(uid=os.geteuid()))
        assert sockets.directory(configured, environ) == path

    with forked(look) as pid:
        assert ended_well(pid)


# Whose it is


@as_root
def test_a_socket_of_another_user_is_not_asked(place):
    place.mkdir(mode=0o700)
    path = place / f"{os.getpid()}.sock"
    address = requests.Address(os.getpid(), path)

    def listen() -> None:
        os.chdir(place)
        os.chown(".", NOBODY, NOBODY)
        become(NOBODY)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
            server.listen(16)
            signal.pause()

    with forked(listen) as pid:
        wait_until(lambda: sockets.is_answered(path), what="who listens")
        # In a directory of that user root trusts the user, but not the name.
        assert requests.masters([place]) == [address]
        with pytest.raises(ControlError, match=f"process {pid} answers at {path}"):
            requests.open_process(address)
        os.chown(place, 0, 0)
        reason = (
            f"process {pid} of nobody answers at {path}, so the answer is not trusted"
        )
        with pytest.raises(ControlError, match=reason):
            requests.ask(address, StatusRequest())
        with pytest.raises(ControlError, match=reason):
            requests.open_process(address)
        place.chmod(0o777)
        assert requests.masters([place]) == []
        assert requests.untrusted_dirs([place]) == {place: "can be written by others"}


@as_root
def test_a_directory_of_another_user_is_not_looked_into(tmp_path, place):
    tmp_path.chmod(0o755)
    place.mkdir(mode=0o755)
    os.chown(place, 1, 1)

    def look() -> None:
        os.chdir(tmp_path)
        become(NOBODY)
        assert sockets.distrust(Path(place.name)) == "belongs to daemon"

    with forked(look) as pid:
        assert ended_well(pid)


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_nobody_else_may_use_the_socket_whatever_the_umask(umask, place):
    master = Master(place)
    master.control.open()
    assert stat.S_ISSOCK(master.control.path.lstat().st_mode)
    assert mode(master.control.path) == 0o600
    assert mode(place) == 0o700
    master.control.close()


def test_the_directory_is_made_with_all_above_it(tmp_path):
    sockets.prepare(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o700


@pytest.mark.parametrize("bits", [0o700, 0o750, 0o755, 0o711])
def test_a_directory_that_others_can_only_read_is_used_as_it_is(place, bits):
    place.mkdir()
    place.chmod(bits)
    sockets.prepare(place)
    assert mode(place) == bits


@pytest.mark.parametrize("bits", [0o770, 0o720, 0o707, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_can_write_is_refused(place, bits):
    place.mkdir()
    place.chmod(bits)
    with pytest.raises(ControlError) as caught:
        sockets.prepare(place)
    assert str(caught.value) == (
        f"{place} can be written by others; choose another one"
    )


def test_a_link_to_a_directory_is_refused(tmp_path, place):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ControlError, match="choose another one"):
        sockets.prepare(place)


@as_root
def test_a_directory_of_another_user_is_refused(place):
    place.mkdir(mode=0o700)
    os.chown(place, NOBODY, NOBODY)
    with pytest.raises(ControlError) as caught:
        sockets.prepare(place)
    assert str(caught.value) == (
        f"{place} belongs to nobody, so only nobody can run masters there;"
        " choose another one"
    )
    # Root asks the masters of that user, and nobody else's.
    assert sockets.distrust(place) == ""


@as_root
def test_a_directory_of_root_is_good_enough_for_others(tmp_path):
    tmp_path.chmod(0o755)

    def look() -> None:
        os.chdir(tmp_path)
        become(NOBODY)
        sockets.prepare(Path())

    with forked(look) as pid:
        assert ended_well(pid)


def test_a_directory_that_cannot_be_made_is_told_why(place):
    place.write_text("a file")
    for path, reason in ((place, "File exists"), (place / "a", "Not a directory")):
        with pytest.raises(ControlError) as caught:
            sockets.prepare(path)
        assert str(caught.value) == f"{path} cannot be made: {reason}"


def in_the_way(place: Path) -> Path:
    place.write_text("a file")
    return place


def open_to_all(place: Path) -> Path:
    place.mkdir()
    place.chmod(0o777)
    return place


def too_long(place: Path) -> Path:
    # unix(7): 108 bytes, of which the last is zero.
    return place / ("x" * 108)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (in_the_way, "cannot be made: File exists"),
        (open_to_all, "can be written by others"),
        (too_long, "path too long"),
    ],
)
def test_a_master_without_a_socket_works_all_the_same(place, capfd, spoil, reason):
    master = Master(spoil(place))
    master.control.open()
    told = capfd.readouterr().err
    assert "event=control_unavailable" in told
    assert reason in told
    assert not master.poller.watched
    assert unsent(master) == []
    master.turn()
    master.control.close()
    assert not master.control.path.exists()


# What others have left there


def killed(place: Path, name: str = "{pid}.sock") -> Path:
    """Leave the socket of a master that was killed."""

    def serve() -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(place / name.format(pid=os.getpid())))
            server.listen()
            os.kill(os.getpid(), signal.SIGKILL)

    with forked(serve) as pid:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    path = place / name.format(pid=pid)
    assert path.is_socket()
    return path


def test_sockets_of_the_dead_are_taken_away_and_those_of_the_living_are_not(place):
    place.mkdir(mode=0o700)
    dead = [killed(place), killed(place)]
    other = killed(place, "{pid}.other")
    # A pid that is nobody's here may be that of a master in another container.
    living = place / f"{dead[0].stem}0000.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(living))
        server.listen()
        master = Master(place)
        master.control.open()
        assert not any(path.exists() for path in dead)
        assert sockets.find(place) == sorted([living, master.control.path])
        assert sockets.is_answered(living)
        assert other.is_socket()
        master.control.close()


def test_the_socket_of_an_earlier_process_of_this_pid_is_replaced(place):
    place.mkdir(mode=0o700)
    killed(place, f"{os.getpid()}.sock")
    master = Master(place)
    master.control.open()
    with connected(master):
        pass
    master.control.close()


def test_a_master_that_does_not_come_to_answer_is_not_dead(place):
    place.mkdir(mode=0o700)
    # Of another container: nobody here has that pid.
    path = place / "99999999.sock"
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(str(path))
        busy.listen(1)
        # More than it has room for: it is stopped, or has much to do.
        for client in waiting:
            client.setblocking(False)
        refused = [client.connect_ex(str(path)) for client in waiting]
        assert refused[-1] == errno.EAGAIN
        assert sockets.is_answered(path)
        sockets.remove_stale(place)
        assert path.is_socket()
    for client in waiting:
        client.close()


@as_root
def test_a_master_of_another_user_is_not_dead(master, place):
    place.chmod(0o755)

    def look() -> None:
        os.chdir(place)
        become(NOBODY)
        path = Path(master.control.path.name)
        with (
            socket.socket(socket.AF_UNIX) as client,
            pytest.raises(PermissionError),
        ):
            client.connect(str(path))
        assert sockets.is_answered(path)

    with forked(look) as pid:
        assert ended_well(pid)


def test_where_nothing_is_there_are_no_sockets(place):
    assert sockets.find(place) == []
    assert not sockets.is_answered(place / "1.sock")
    sockets.remove_stale(place)


def note(path: Path) -> None:
    path.write_text("no socket at all")


def datagrams(path: Path) -> socket.socket:
    """Serve another protocol: that of syslog, say."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(path))
    return server


def about_to_listen(path: Path) -> socket.socket:
    """Be a master that starts at the same time, between bind and listen."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    return server


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("notes.sock", note),
        ("log.sock", datagrams),
        # As if it were that of a pid which nobody can have.
        ("99999999.sock", note),
        ("{pid}.sock", about_to_listen),
        # Digits to some, but no number.
        ("\u00b2.sock", about_to_listen),
    ],
)
def test_what_is_no_socket_of_a_dead_master_is_left_alone(place, name, make):
    place.mkdir(mode=0o700)
    path = place / name.format(pid=os.getppid())
    made = make(path)
    try:
        sockets.remove_stale(place)
        assert path.exists()
    finally:
        if made is not None:
            made.close()


# Requests and replies


def test_a_request_is_handled_once_and_answered_in_a_line(master):
    with connected(master) as client:
        client.sendall(b'{"do":"status","usage":true}\n')
        master.turn(now=12.5)
        ((peer, request, now),) = master.asked
        assert (request, now) == (StatusRequest(usage=True), 12.5)
        master.turn(now=13.0)
        assert len(master.asked) == 1
        assert not peer.is_closed
        peer.answer(ScaleReply(queues="q", before=1, workers=2))
        assert everything(client) == [
            {"ok": True, "queues": "q", "before": 1, "workers": 2},
        ]
    assert peer.is_closed
    assert list(master.poller.watched) == [master.control.fileno()]


def test_a_refusal_is_a_reply_too(master):
    with connected(master) as client:
        client.sendall(STATUS)
        master.turn()
        master.asked[0][0].refuse("not now")
        assert everything(client) == [{"ok": False, "error": "not now"}]


def test_a_request_in_pieces_is_handled_when_it_is_whole(master):
    text = '{"do":"kill","who":"h:1:ü"}\n'.encode()
    with connected(master) as client:
        for number in range(len(text)):
            assert master.requests == []
            client.sendall(text[number : number + 1])
            master.turn()
        assert master.requests == [KillRequest(who="h:1:ü")]


def test_a_long_request_is_heard_whole(master):
    who = "x" * (ROOM - 1000)
    with connected(master) as client:
        client.sendall(json.dumps({"do": "kill", "who": who}).encode() + b"\n")
        master.turn()
    assert master.requests == [KillRequest(who=who)]


def test_many_ask_at_once_and_each_gets_its_own_reply(master):
    clients = [socket.socket(socket.AF_UNIX) for _ in range(30)]
    for number, client in enumerate(clients):
        client.settimeout(10)
        client.connect(str(master.control.path))
        client.sendall(b'{"do":"kill","older":%d}\n' % number)
        # Few are waiting for a master that turns.
        if number % 10 == 9:
            master.turn()
    for peer, request, _ in reversed(master.asked):
        assert isinstance(request, KillRequest)
        peer.answer(ReloadReply(generation=int(request.older or 0)))
    for number, client in enumerate(clients):
        assert everything(client) == [{"ok": True, "generation": number}]
        client.close()


NO_JSON = [b"", b" ", b"{", b"do", b"\xff\xfe", b'{"do":"\xff"}', b'{"do":"pause"']
NO_JSON += [b'{"do":"pause"}}', b"\0", b"GET / HTTP/1.1\r", b'{"do":NaN}']
NO_JSON += [b'{"a":' + b"1" * 5000 + b"}", b"[" * 50_000, b'{"do":' * 9_000]
NO_OBJECT = [b"null", b"5", b'"status"', b"[]", b'[{"do":"status"}]']


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        *((line, "expected a line of JSON") for line in NO_JSON),
        *((line, 'expected an object, such as {"do": "status"}') for line in NO_OBJECT),
    ],
    ids=lambda value: str(value[:16]),
)
def test_rubbish_asks_for_nothing_and_is_answered(master, line, reason):
    with connected(master) as client:
        client.sendall(line + b"\n")
        master.turn()
        assert everything(client) == [{"ok": False, "error": f"bad request: {reason}"}]
    assert master.requests == []
    assert list(master.poller.watched) == [master.control.fileno()]


@given(st.binary(max_size=80).filter(lambda raw: b"\n" not in raw))
@example(b'{"do":NaN}')
@example(b"[" * 200)
def test_bytes_are_a_line_when_its_end_has_come(raw):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer(ours, Poller())
        theirs.sendall(raw)
        assert peer.line() is None
        theirs.sendall(b"\n")
        assert peer.line() == raw
        assert not peer.is_closed


# What goes wrong with a request


class Idle:
    """What handlers need of a master: of one whose pool has no workers."""

    def __init__(self) -> None:
        self.pool: Any = SimpleNamespace(
            workers=list,
            pause=lambda **_: None,
            is_stopping=False,
            timings=DEFAULT_TIMINGS,
        )
        self.limit_enforcer: Any = None
        self.state = State.RUNNING
        self.began = 0.0

    def reload(self, now: float) -> int:
        raise LookupError("no such generation")

    def replace(self, asker: Peer, now: float) -> None:
        raise ControlError("this master is about to be replaced already")

    def change_state(self, event: Event, now: float) -> None:
        raise NotImplementedError


@pytest.fixture
def idle() -> Idle:
    return Idle()


@pytest.fixture
def handlers(idle: Idle) -> CommandHandlers:
    return CommandHandlers(idle, logger.get(role="master"))


@pytest.fixture
def obeying(place: Path, handlers: CommandHandlers) -> Iterator[Master]:
    """A master that does what it is asked for."""
    made = Master(place, handlers.handle)
    made.control.open()
    yield made
    made.control.close()


def reply_to(master: Master, request: dict[str, Any]) -> dict[str, Any]:
    with connected(master) as client:
        client.sendall(json.dumps(request).encode() + b"\n")
        master.turn()
        (reply,) = everything(client)
    assert isinstance(reply, dict)
    return reply


KNOWN = (
    "this master knows status, stack, kill, pause, resume, drain, scale, reload, reopen"
)
ONE_OF_BOTH = "`kill`: expected either `who` or `older`"
NAME = "expected `int | str`, got"
COUNT = "expected `str` matching regex '^[+-]?[0-9]{1,9}\\\\Z'"
FLOAT = "expected `float | null`, got"
TOO_MUCH = "number out of range"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({}, f"`do` is missing; {KNOWN}"),
        ({"do": None}, f"`do` is missing; {KNOWN}"),
        ({"do": ""}, f"no order is ''; {KNOWN}"),
        ({"do": "stop"}, f"no order is 'stop'; {KNOWN}"),
        ({"do": "_dispatch"}, f"no order is '_dispatch'; {KNOWN}"),
        ({"do": []}, f"no order is []; {KNOWN}"),
        ({"do": 1}, f"no order is 1; {KNOWN}"),
        ({"do": "x" * 90}, f"no order is '{'x' * 39}; {KNOWN}"),
        ({"do": "status", "usage": 1}, "`status.usage`: expected `bool`, got `int`"),
        ({"do": "stack"}, "`stack`: object missing required field `who`"),
        ({"do": "stack", "who": None}, f"`stack.who`: {NAME} `null`"),
        ({"do": "stack", "who": True}, f"`stack.who`: {NAME} `bool`"),
        ({"do": "stack", "who": 1.5}, f"`stack.who`: {NAME} `float`"),
        ({"do": "kill"}, ONE_OF_BOTH),
        ({"do": "kill", "older": None}, ONE_OF_BOTH),
        ({"do": "kill", "who": "x", "older": 1}, ONE_OF_BOTH),
        ({"do": "kill", "older": "x"}, f"`kill.older`: {FLOAT} `str`"),
        ({"do": "kill", "older": []}, f"`kill.older`: {FLOAT} `array`"),
        ({"do": "kill", "older": 10**400}, f"`kill.older`: {TOO_MUCH}"),
        ({"do": "kill", "older": -0.5}, "`kill.older`: expected `float` >= 0.0"),
        ({"do": "kill", "older": math.nan}, "expected a line of JSON"),
        ({"do": "kill", "older": math.inf}, "expected a line of JSON"),
        (
            {"do": "kill", "older": 1, "children": [7, "x"]},
            "`kill.children[1]`: expected `int`, got `str`",
        ),
        (
            {"do": "pause", "wait": True},
            "`pause`: object contains unknown field `wait`",
        ),
        ({"do": "resume", "a b": 1}, "`resume`: object contains unknown field `a b`"),
        ({"do": "drain", "wait": None}, "`drain.wait`: expected `bool`, got `null`"),
        ({"do": "scale"}, "`scale`: object missing required field `workers`"),
        ({"do": "scale", "workers": 1.0}, f"`scale.workers`: {NAME} `float`"),
        ({"do": "scale", "workers": ""}, f"`scale.workers`: {COUNT}"),
        ({"do": "scale", "workers": "1.5"}, f"`scale.workers`: {COUNT}"),
        ({"do": "scale", "workers": "+1\n"}, f"`scale.workers`: {COUNT}"),
        ({"do": "scale", "workers": "\u0663"}, f"`scale.workers`: {COUNT}"),
        (
            {"do": "scale", "workers": 1, "queues": ["a"]},
            "`scale.queues`: expected `str | null`, got `array`",
        ),
        ({"do": "reload", "wait": "no"}, "`reload.wait`: expected `bool`, got `str`"),
        ({"do": "reload", "self": 1}, "`reload`: object contains unknown field `self`"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_request_is_answered_with_the_field_that_is_wrong(
    obeying, capfd, request_, reason
):
    reply = reply_to(obeying, request_)
    assert reply == {"ok": False, "error": f"bad request: {reason}"}
    # Nothing of it has come as far as to be an order.
    assert "order_received" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "request_",
    [
        {"do": "status", "\ud800": 1},
        {"do": "drain", "wait": "\ud800"},
        {"do": "kill", "children": ["\ud800"]},
        {"do": "\ud800"},
    ],
    ids=["name", "flag", "number", "order"],
)
def test_half_of_a_surrogate_pair_is_a_bad_request(obeying, request_):
    reply = reply_to(obeying, request_)
    assert not reply["ok"]
    assert reply["error"].startswith("bad request: ")
    assert "field `x`" in reply_to(obeying, {"do": "kill", "x": 1})["error"]


@pytest.mark.parametrize("key", ["event", "order", "sent_by", "self", "a b"])
def test_fields_that_no_order_has_do_no_harm(obeying, key):
    reply = reply_to(obeying, {"do": "kill", "who": "x", key: "y"})
    assert (
        reply["error"] == f"bad request: `kill`: object contains unknown field `{key}`"
    )


def test_what_a_master_refuses_is_answered_in_its_words(obeying, capfd):
    reply = reply_to(obeying, {"do": "kill", "who": 4711})
    assert reply["error"].startswith("4711 is no worker of this master")
    reply = reply_to(obeying, {"do": "reload", "master": True})
    error = "this master is about to be replaced already"
    assert reply == {"ok": False, "error": error}
    assert "control_failed" not in capfd.readouterr().err


def test_without_descriptors_the_master_stands_back_and_listens_again(master, capfd):
    with connected(master) as client:
        client.sendall(STATUS)
        with NoDescriptors():
            assert master.poller.wait(0), "somebody waits to be accepted"
            master.turn(now=10.0)
            assert master.requests == []
            assert master.control.due(10.0) == 11.0
            master.control.turn(11.0)
            master.turn(now=11.0)
            assert master.control.due(11.0) == 12.0
        master.turn(now=11.5)
        assert master.requests == []
        master.control.turn(12.0)
        master.turn(now=12.0)
        assert master.requests == [StatusRequest()]
        assert master.control.due(12.0) == math.inf
    log = capfd.readouterr().err
    assert log.count("control_unavailable") == 1
    assert "Too many open files" in log


def test_an_order_is_logged_with_what_it_says(obeying, capfd):
    assert reply_to(obeying, {"do": "drain", "wait": False}) == {"ok": True}
    reply_to(obeying, {"do": "kill", "older": 0, "children": [7]})
    first, second = capfd.readouterr().err.splitlines()
    assert "event=order_received" in first
    assert "order=drain" in first
    assert "wait" not in first
    assert "order=kill" in second
    assert "older=0.0" in second
    assert f'sent_by="{os.getpid()} (' in second


def test_a_fault_of_a_handler_is_logged_and_answered(obeying, capfd):
    reply = reply_to(obeying, {"do": "reload"})
    assert reply == {
        "ok": False,
        "error": "internal error: LookupError: no such generation; the log of the"
        " master has the traceback (control_failed)",
    }
    told = capfd.readouterr().err
    assert "event=control_failed" in told
    assert "level=error" in told
    assert "order=reload" in told
    assert "Traceback (most recent call last)" in told
    assert "in reload" in told
    # The master continues.
    assert reply_to(obeying, {"do": "pause"}) == {"ok": True}


def test_a_fault_while_somebody_waits_is_logged_and_answered(
    obeying, handlers, idle, capfd
):
    with connected(obeying) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        obeying.turn()
        assert handlers.due(0.0) < NEVER
        idle.pool.workers = lambda: [None]
        handlers.turn(now=1.0)
        (reply,) = everything(client)
    assert reply["error"].startswith("internal error: AttributeError: ")
    assert handlers.due(0.0) == NEVER
    told = capfd.readouterr().err
    assert "event=control_failed" in told
    assert "order=drain" in told


def test_who_waits_is_answered_at_the_turn_at_which_it_is_done(obeying, handlers):
    with connected(obeying) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        obeying.turn()
        handlers.turn(now=time.monotonic())
        (reply,) = everything(client)
    assert reply["ok"]
    assert reply.keys() == {"ok", "after"}
    assert handlers.due(0.0) == NEVER


def test_who_waits_and_goes_is_not_waited_for(obeying, handlers):
    with connected(obeying) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        obeying.turn()
    obeying.turn()
    handlers.turn(now=1.0)
    assert handlers.due(0.0) == NEVER


# Connections


def test_who_has_nothing_to_ask_is_hung_up_on(master):
    with connected(master) as client:
        client.shutdown(socket.SHUT_WR)
        master.turn()
        assert everything(client) == []
    assert master.requests == []


def test_a_second_question_is_not_heard(master):
    with connected(master) as client:
        client.sendall(STATUS)
        master.turn()
        client.sendall(b'{"do":"pause"}\n' * 3)
        master.turn()
        assert not master.asked[0][0].is_closed
    assert master.requests == [StatusRequest()]


def test_a_stream_behind_a_question_is_not_read(master):
    with connected(master) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        master.turn()
        client.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                client.send(STATUS * 1000)
        # A loop that reads it would never wait again.
        assert master.poller.wait(0) == []
        assert master.requests == [DrainRequest(wait=True)]
    master.turn()
    assert list(master.poller.watched) == [master.control.fileno()]


def test_the_socket_of_a_master_with_the_same_pid_is_left_to_it(place):
    mine = Master(place)
    place.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(mine.control.path))
        other.listen()
        mine.control.open()
        assert mine.control.fileno() is None
        mine.control.close()
        assert sockets.is_answered(mine.control.path)


def test_a_master_that_was_woken_for_nothing_does_not_wait(master):
    master.poller.call(list(master.poller.watched), 0.0)
    with connected(master) as client:
        master.turn()
        master.poller.call(list(master.poller.watched), 0.0)
        client.sendall(STATUS)
        master.turn()
    assert master.requests == [StatusRequest()]


def test_who_never_comes_to_the_end_of_the_line_is_hung_up_on(master):
    with connected(master) as client:
        client.setblocking(False)
        sent = 0
        while len(master.poller.watched) == 2 or not sent:
            sent += client.send(b"x" * 50_000)
            assert sent < 10 * ROOM
            master.turn()
        assert sent > ROOM
        with pytest.raises(OSError, match=r"Broken pipe|reset by peer"):
            client.sendall(b"\n")
    assert master.requests == []


# Peers that go away


def test_who_connects_and_goes_is_forgotten(master):
    for _ in range(3):
        with connected(master) as client:
            master.turn()
            assert len(master.poller.watched) == 2
            client.close()
            master.turn()
    assert master.requests == []
    assert list(master.poller.watched) == [master.control.fileno()]


@pytest.mark.parametrize("text", [b"", b'{"do":"pause"', b'{"do":"pause"}'])
def test_who_goes_in_the_middle_has_asked_for_nothing(master, text):
    with connected(master) as client:
        client.sendall(text)
    master.turn()
    assert master.requests == []
    assert list(master.poller.watched) == [master.control.fileno()]


def test_who_goes_before_the_answer_is_answered_to_no_harm(master):
    with connected(master) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        master.turn()
    peer = master.asked[0][0]
    # Whether or not it has been noticed by then.
    peer.answer(Reply())
    assert peer.is_closed
    peer.answer(Reply())
    peer.flush()
    assert list(master.poller.watched) == [master.control.fileno()]
    assert not peer.events & select.POLLOUT
    assert peer.line() is None
    master.turn()
    assert list(master.poller.watched) == [master.control.fileno()]


def test_who_hangs_up_while_waiting_is_noticed(master):
    with connected(master) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        master.turn()
        peer = master.asked[0][0]
        assert not peer.is_closed
    master.turn()
    assert peer.is_closed


def test_who_goes_in_the_middle_of_a_long_answer_is_forgotten(master):
    with connected(master) as client:
        client.sendall(STATUS)
        master.turn()
        peer = master.asked[0][0]
        peer.answer(stack_of(4_000_000))
        assert not peer.is_closed
        assert client.recv(1000)
    master.turn()
    assert peer.is_closed
    assert not peer.events & select.POLLOUT
    assert list(master.poller.watched) == [master.control.fileno()]


def test_a_long_answer_goes_as_fast_as_it_is_read(master):
    with connected(master) as client:
        client.sendall(STATUS)
        master.turn()
        peer = master.asked[0][0]
        assert unsent(master) == []
        peer.answer(stack_of(4_000_000))
        assert unsent(master) == [peer.fileno()]
        got = b""
        while chunk := client.recv(1 << 16):
            got += chunk
            master.turn()
    assert json.loads(got) == line_of(4_000_000)
    assert peer.is_closed
    assert unsent(master) == []


def test_who_has_no_more_to_say_is_answered_all_the_same(master):
    with connected(master) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        client.shutdown(socket.SHUT_WR)
        master.turn()
        assert master.requests == [DrainRequest(wait=True)]
        # Nothing wakes the master until there is an answer.
        (peer,) = (peer for peer, _, _ in master.asked)
        assert master.poller.watched[peer.fileno()] == 0
        peer.answer(DrainReply(after="3s"))
        assert everything(client) == [{"ok": True, "after": "3s"}]


def test_who_has_no_more_to_say_may_read_a_long_answer_slowly(master):
    with connected(master) as client:
        client.sendall(STATUS)
        client.shutdown(socket.SHUT_WR)
        master.turn()
        peer = master.asked[0][0]
        peer.answer(stack_of(1_000_000))
        # There was no room for all of it.
        assert not peer.is_closed
        got = b""
        while not got.endswith(b"\n"):
            got += client.recv(1 << 16)
            master.turn()
        assert json.loads(got) == line_of(1_000_000)
        assert everything(client) == []
        assert peer.is_closed


def test_who_had_no_more_to_say_and_goes_is_noticed(master):
    with connected(master) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        client.shutdown(socket.SHUT_WR)
        master.turn()
        peer = master.asked[0][0]
        assert not peer.is_closed
    master.turn()
    assert peer.is_closed
    assert list(master.poller.watched) == [master.control.fileno()]


def test_who_says_later_that_there_is_no_more_to_say_is_answered_too(master):
    with connected(master) as client:
        client.sendall(b'{"do":"drain","wait":true}\n')
        master.turn()
        client.shutdown(socket.SHUT_WR)
        master.turn()
        master.asked[0][0].answer(DrainReply(after="3s"))
        assert everything(client) == [{"ok": True, "after": "3s"}]


def test_who_has_no_more_to_say_is_answered_by_a_new_program_too(master, place):
    with connected(master) as client:
        client.sendall(b'{"do":"reload","master":true}\n')
        client.shutdown(socket.SHUT_WR)
        master.turn()
        new = Master(place)
        peer = new.control.resume(None, os.dup(master.asked[0][0].fileno()))
        assert peer is not None
        new.turn()
        peer.answer(ReloadReply(generation=2, error=""))
        new.control.close()
        master.control.close()
        assert everything(client) == [{"ok": True, "generation": 2, "error": ""}]


# Who may ask


def test_the_kernel_says_who_asks(master):
    def ask() -> None:
        with connected(master) as client:
            client.sendall(STATUS)
            client.recv(1)

    with forked(ask) as pid:
        wait_until(lambda: master.turn() or master.asked)
        peer = master.asked[0][0]
        name = Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
        assert peer.uid == os.getuid()
        assert peer.may_ask
        assert peer.name == f"{pid} ({name}), uid {os.getuid()}"
        peer.answer(Reply())


@as_root
def test_another_user_is_not_listened_to_even_if_it_gets_in(master, place, capfd):
    # As if somebody had opened the way.
    place.chmod(0o755)
    master.control.path.chmod(0o666)

    def ask() -> None:
        os.chdir(place)
        become(NOBODY)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(master.control.path.name)
            try:
                client.sendall(b'{"do":"pause"}\n')
                assert client.recv(1) == b""
            except (BrokenPipeError, ConnectionResetError):
                return

    with forked(ask) as pid:
        wait_until(lambda: master.turn() or not runs(pid))
        assert ended_well(pid)
    told = capfd.readouterr().err
    assert "event=control_refused" in told
    assert f"uid {NOBODY}" in told
    assert master.requests == []
    assert list(master.poller.watched) == [master.control.fileno()]


def runs(pid: int) -> bool:
    flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
    return os.waitid(os.P_PID, pid, flags) is None


# Its end


def test_a_master_that_closes_hangs_up_on_all_and_takes_its_socket_away(master):
    with connected(master) as idle, connected(master) as waiting:
        waiting.sendall(STATUS)
        master.turn()
        path = master.control.path
        master.control.close()
        assert idle.recv(1) == waiting.recv(1) == b""
        assert not path.exists()
        assert master.control.fileno() is None
        assert not master.poller.watched
        # An errand may come to its end later.
        master.asked[0][0].answer(Reply())
        master.control.close()


def test_a_master_that_ends_leaves_the_sockets_of_others(master, place):
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(place / "13.sock"))
        living.listen()
        master.control.close()
        assert sockets.find(place) == [place / "13.sock"]


def test_a_new_program_in_the_same_process_goes_on_where_the_old_one_was(master, place):
    with connected(master) as asker:
        asker.sendall(b'{"do":"reload","master":true}\n')
        master.turn()
        # What execve(2) leaves of the old program: its descriptors.
        listening = os.dup(master.control.fileno() or 0)
        asking = os.dup(master.asked[0][0].fileno())
        for fd in (listening, asking):
            os.set_inheritable(fd, True)
        new = Master(place)
        peer = new.control.resume(listening, asking)
        assert peer is not None
        assert not os.get_inheritable(listening)
        assert not os.get_inheritable(asking)
        peer.answer(stack_of(1_000_000))
        assert unsent(new) == [peer.fileno()]
        got = b""
        while not got.endswith(b"\n"):
            got += asker.recv(1 << 16)
            new.turn()
        assert json.loads(got) == line_of(1_000_000)
        with connected(new) as client:
            client.sendall(STATUS)
            new.turn()
            assert new.requests == [StatusRequest()]
        new.control.close()
