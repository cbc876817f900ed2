"""Records for the journal: their bytes, a journal that stands still, large ones."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from resqued.log import journal
from resqued.log.journal_fields import encode
from tests.support.datagrams import drain

# More than the socket holds.
MANY = 200


@pytest.fixture
def listening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A socket in the place of the journal's, which holds some ten records."""
    monkeypatch.setattr(journal, "_SOCKET", tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "journal"))
        listener.settimeout(30)
        yield listener


def test_a_value_of_several_lines_has_its_length() -> None:
    fields = {"MESSAGE": "é", "RESQUED_ERROR": "no\nroom", "PRIORITY": ""}
    assert encode(fields) == (
        b"MESSAGE=\xc3\xa9\nRESQUED_ERROR\n\x07\0\0\0\0\0\0\0no\nroom\nPRIORITY=\n"
    )


def test_a_journal_that_stands_still_costs_records_which_are_counted(
    listening: socket.socket,
) -> None:
    writer = overflowing()
    taken = drain(listening)
    assert 0 < len(taken) < MANY
    writer.msg({"event": "e", "level": "info", "number": "last"})
    dropped, last = drain(listening)
    assert b"\nRESQUED_EVENT=log_lines_dropped\n" in dropped
    assert f"\nRESQUED_COUNT={MANY - len(taken)}\n".encode() in dropped
    assert b"\nRESQUED_NUMBER=last\n" in last


def test_what_is_dropped_is_told_even_if_nothing_else_is_logged(
    listening: socket.socket,
) -> None:
    writer = overflowing()
    drain(listening)
    writer.tell_dropped()
    writer.tell_dropped()
    assert [b"EVENT=log_lines_dropped" in each for each in drain(listening)] == [True]


def test_a_record_that_is_too_large_for_the_socket_comes_as_a_file(
    listening: socket.socket,
) -> None:
    journal.Writer().msg({"event": "e", "level": "info", "text": "x" * 1_000_000})
    data, descriptors, _, _ = socket.recv_fds(listening, 4096, 1)
    assert data == b""
    with os.fdopen(descriptors[0], "rb") as file:
        file.seek(0)
        assert b"\nRESQUED_TEXT=" + b"x" * 1_000_000 + b"\n" in file.read()


def test_without_a_journal_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_SOCKET", tmp_path / "nobody")
    journal.Writer().msg({"event": "e", "level": "info"})


def test_a_value_without_a_text_costs_no_record(listening: socket.socket) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError

    journal.Writer().msg({"event": "e", "level": "info", "value": Odd()})
    (taken,) = drain(listening)
    assert b"\nRESQUED_VALUE=(Odd without a text)\n" in taken


def overflowing() -> journal.Writer:
    """Return a writer that has written more than the socket holds."""
    writer = journal.Writer()
    for number in range(MANY):
        writer.msg({"event": "e", "level": "info", "number": number})
    return writer
