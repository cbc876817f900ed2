"""The one reader of lines: pipes and sockets, whole lines and pieces of them."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.system.lines import LineReader, LineTooLongError

# Past already: what has come counts, and nothing is waited for.
AT_ONCE = 0.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        with suppress(OSError):
            os.close(fd)


def soon() -> float:
    return time.monotonic() + 30


def test_lines_come_one_by_one_without_their_ends(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = LineReader(reading)
    os.write(writing, b"one\n\ntwo\r\nthr")
    assert [lines.read(AT_ONCE) for _ in range(3)] == [b"one", b"", b"two\r"]
    os.write(writing, b"ee\n")
    assert lines.read(AT_ONCE) == b"three"


def test_at_the_end_of_the_file_there_is_no_line(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = LineReader(reading)
    os.write(writing, b"one\nthe begin")
    os.close(writing)
    assert lines.read(soon()) == b"one"
    assert not lines.has_ended
    assert lines.read(soon()) is None
    assert lines.has_ended
    assert lines.read(soon()) is None


def test_a_line_that_does_not_come_is_waited_for_no_longer(
    pipe: tuple[int, int],
) -> None:
    reading, writing = pipe
    lines = LineReader(reading)
    os.write(writing, b"the begin")
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        lines.read(began + 0.05)
    assert time.monotonic() >= began + 0.05
    # What had come is not lost.
    os.write(writing, b"ning\n")
    assert lines.read(AT_ONCE) == b"the beginning"


@pytest.mark.parametrize("end", [b"", b"\n"])
@pytest.mark.parametrize("room", [10, 100])
def test_a_line_may_be_so_long_and_no_longer(
    pipe: tuple[int, int], end: bytes, room: int
) -> None:
    reading, writing = pipe
    lines = LineReader(reading, longest=room)
    os.write(writing, b"x" * room + b"\n")
    assert lines.read(AT_ONCE) == b"x" * room
    os.write(writing, b"x" * (room + 1) + end)
    with pytest.raises(LineTooLongError, match=f"a line is longer than {room} bytes"):
        lines.read(AT_ONCE)


def test_many_lines_together_may_be_longer_than_one(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = LineReader(reading, longest=10)
    os.write(writing, b"012345678\n" * 20)
    assert [lines.read(AT_ONCE) for _ in range(20)] == [b"012345678"] * 20


def test_who_waits_elsewhere_takes_what_is_there() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        lines = LineReader(ours.fileno())
        with pytest.raises(BlockingIOError):
            lines.receive()
        theirs.sendall(b"one\ntwo")
        assert lines.take() is None
        lines.receive()
        assert lines.take() == b"one"
        assert lines.take() is None
        theirs.close()
        lines.receive()
        assert lines.has_ended
        assert lines.take() is None


def test_a_connection_that_is_reset_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(b"nobody reads this")
        theirs.close()
        with pytest.raises(ConnectionResetError):
            LineReader(ours.fileno()).read(soon())


@given(pieces=st.lists(st.binary(min_size=1, max_size=20)))
def test_lines_do_not_depend_on_how_they_are_cut(pieces: list[bytes]) -> None:
    reading, writing = os.pipe()
    try:
        lines = LineReader(reading)
        found = []
        for piece in pieces:
            os.write(writing, piece)
            lines.receive()
            while (line := lines.take()) is not None:
                found.append(line)
        *expected, _rest = b"".join(pieces).split(b"\n")
        assert found == expected
    finally:
        os.close(reading)
        os.close(writing)
