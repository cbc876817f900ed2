"""Asking a master: real sockets, and a thread that replies as masters do or do not."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec.structs
import pytest

from resqued.control import protocol, requests
from resqued.control.protocol import (
    DrainReply,
    DrainRequest,
    ErrorReply,
    PauseRequest,
    Reply,
    ScaleReply,
    ScaleRequest,
    StatusRequest,
)
from resqued.control.requests import Address, ReplyWait, SilentMaster
from resqued.errors import ControlError, NoMasterError
from resqued.system.lines import LineReader
from tests.support.replies import WELL
from tests.support.wait import scaled

PAUSE = PauseRequest()
# Much less than a machine that is busy needs for a reply: for masters that give none.
SHORT = 0.05

# What a master does with a connection.
Act = Callable[[socket.socket], None]


class Fake:
    """A socket at which each connection is served by the next act, in a thread."""

    def __init__(self, path: Path, *acts: Act) -> None:
        self.address = Address(7, path)
        self.heard: list[bytes] = []
        self.connections: list[socket.socket] = []
        self._acts = acts
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()

    def serve(self) -> None:
        for act in self._acts:
            connection, _ = self._listener.accept()
            self.connections.append(connection)
            self.heard.append(connection.makefile("rb").readline())
            act(connection)

    def close(self) -> None:
        for each in (self._listener, *self.connections):
            each.close()


@contextmanager
def master(place: Path, *acts: Act) -> Iterator[Fake]:
    """Serve so many connections, and expect no fewer."""
    fake = Fake(place / "7.sock", *acts)
    thread = threading.Thread(target=fake.serve)
    thread.start()
    try:
        yield fake
        thread.join()
    finally:
        fake.close()


def replies(reply: Reply) -> Act:
    return lambda connection: connection.sendall(protocol.encode_reply(reply))


def says(data: bytes) -> Act:
    def act(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)

    return act


def is_silent(_connection: socket.socket) -> None:
    """Be stopped, or busy with other things."""


def test_a_request_gets_its_reply(tmp_path: Path) -> None:
    reply = ScaleReply(queues="q", before=1, workers=2)
    with master(tmp_path, replies(reply)) as fake:
        assert requests.ask(fake.address, ScaleRequest(workers="+1")) == reply
    assert fake.heard == [b'{"do": "scale", "workers": "+1"}\n']


def test_a_refusal_is_raised_in_the_words_of_the_master(tmp_path: Path) -> None:
    with (
        master(tmp_path, replies(ErrorReply(error="not now"))) as fake,
        pytest.raises(ControlError) as caught,
    ):
        requests.ask(fake.address, PAUSE)
    assert str(caught.value) == "master 7: not now"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\n", "expected a line of JSON"),
        (b"{}\n", "the reply has no `ok` that is true or false"),
        (b'{"ok": false}\n', "`reply`: object missing required field `error`"),
    ],
)
def test_a_reply_that_is_none_is_an_error(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    with (
        master(tmp_path, says(data)) as fake,
        pytest.raises(ControlError) as caught,
    ):
        requests.ask(fake.address, PAUSE)
    assert str(caught.value) == (
        f"master 7 gives a reply that this version does not understand: {reason}"
    )


@pytest.mark.parametrize("data", [b"", b'{"ok": true'])
def test_a_master_that_hangs_up_has_gone(tmp_path: Path, data: bytes) -> None:
    with (
        master(tmp_path, says(data)) as fake,
        pytest.raises(NoMasterError, match="master 7 has gone, and gave no answer"),
    ):
        requests.ask(fake.address, PAUSE)


def test_a_master_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    with (
        master(tmp_path, is_silent) as fake,
        pytest.raises(NoMasterError, match=r"master 7 does not answer within 0\.05 s"),
    ):
        requests.ask(fake.address, PAUSE, patience=SHORT)


def test_a_reply_that_waits_is_waited_for_as_long_as_the_master_lives(
    tmp_path: Path,
) -> None:
    def is_done(connection: socket.socket) -> None:
        replies(WELL)(connection)
        replies(DrainReply(after="9s"))(fake.connections[0])

    # The first one is answered only when the master was looked after.
    with master(tmp_path, is_silent, is_done) as fake:
        request = DrainRequest(wait=True)
        reply = requests.ask(fake.address, request, patience=scaled(2))
    assert reply == DrainReply(after="9s")
    assert [json.loads(line)["do"] for line in fake.heard] == ["drain", "status"]


def test_a_reply_that_waits_is_given_up_with_the_reason(tmp_path: Path) -> None:
    away = msgspec.structs.replace(WELL, redis="redis is away")
    wait = ReplyWait(SHORT, lambda status: status.redis)
    with (
        master(tmp_path, is_silent, replies(away)) as fake,
        pytest.raises(ControlError) as caught,
    ):
        requests.ask(fake.address, DrainRequest(wait=True), wait=wait)
    assert str(caught.value) == (
        "master 7 has not got there within 0.05 s, and continues; redis is away"
    )


def test_why_a_reply_takes_so_long_is_shown_once(tmp_path: Path) -> None:
    away = msgspec.structs.replace(WELL, redis="redis is away")
    shown: list[str] = []

    def is_done(connection: socket.socket) -> None:
        replies(away)(connection)
        replies(DrainReply())(fake.connections[0])

    wait = ReplyWait(reason=lambda status: status.redis, show=shown.append)
    with master(tmp_path, is_silent, replies(away), is_done) as fake:
        requests.ask(
            fake.address, DrainRequest(wait=True), patience=scaled(1), wait=wait
        )
    assert shown == ["redis is away"]


def test_a_master_that_dies_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    with (
        master(tmp_path, is_silent, is_silent) as fake,
        pytest.raises(NoMasterError, match="does not answer"),
    ):
        requests.ask(fake.address, DrainRequest(wait=True), patience=SHORT)


def test_a_reply_without_an_end_is_cut_off(tmp_path: Path) -> None:
    def flood(connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection.sendall(b"x" * 65536)

    with (
        master(tmp_path, flood) as fake,
        pytest.raises(ControlError, match="a line is longer than 16777216 bytes"),
    ):
        requests.ask(fake.address, PAUSE, patience=scaled(60))


def test_what_comes_all_the_time_does_not_extend_the_patience() -> None:
    reading, writing = os.pipe()
    is_over = threading.Event()

    def pour() -> None:
        with suppress(BrokenPipeError):
            while not is_over.is_set():
                os.write(writing, b"x")

    thread = threading.Thread(target=pour)
    thread.start()
    try:
        with pytest.raises(TimeoutError):
            # Less than comes in all the time of the test, and long over.
            LineReader(reading).read(0.0)
    finally:
        is_over.set()
        os.close(reading)
        thread.join()
        os.close(writing)


def test_of_masters_that_say_nothing_the_reason_is_shown(tmp_path: Path) -> None:
    nobody = Address(8, tmp_path / "8.sock")
    with master(tmp_path, replies(WELL)) as fake:
        found = requests.fetch_statuses([fake.address, nobody], usage=True)
    gone = "master 8 has gone, and gave no answer"
    assert found == [WELL, SilentMaster(8, gone)]
    assert protocol.as_dict(found[1]) == {"pid": 8, "error": gone}
    assert fake.heard == [protocol.encode_request(StatusRequest(usage=True))]
