"""The socket pair between a master and its workers, with both ends in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resqued.ipc import messages
from resqued.ipc.channel import Channel, ChannelClosed, socket_pair

Pair = tuple[Channel[Any, Any], Channel[Any, Any]]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket_pair()
    both = messages.to_worker(ours), messages.worker_to_master(theirs)
    yield both
    for one in both:
        one.close()


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    ours, theirs = pair
    ours.send(messages.Pause())
    ours.send(messages.EndJob("it was dropped"))
    assert theirs.messages() == [messages.Pause(), messages.EndJob("it was dropped")]
    assert theirs.messages() == []


def test_what_was_said_before_the_end_is_heard_before_it(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send(messages.Idle())
    theirs.close()
    assert ours.messages() == [messages.Idle()]
    with pytest.raises(ChannelClosed):
        ours.messages()


def test_last_words_are_heard_of_one_who_has_not_read_ours(pair: Pair) -> None:
    # The kernel tells of a reset then, before it gives what had arrived.
    ours, theirs = pair
    theirs.send(messages.Idle())
    ours.send(messages.Leave())
    theirs.close()
    assert ours.messages() == [messages.Idle()]
    with pytest.raises(ChannelClosed):
        ours.messages()


def test_who_has_gone_cannot_be_told_anything(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(ChannelClosed):
        ours.send(messages.Wake())


def test_a_descriptor_goes_with_a_message(pair: Pair) -> None:
    ours, theirs = pair
    read, write = os.pipe()
    ours.send(messages.Wake(), descriptors=[write])
    os.close(write)
    received = theirs.receive()
    assert received is not None
    _, (passed,) = received
    os.write(passed, b"x")
    assert os.read(read, 1) == b"x"
    os.close(passed)
    os.close(read)


def test_a_message_of_any_length_arrives_with_its_descriptors(pair: Pair) -> None:
    ours, theirs = pair
    read, write = os.pipe()
    queues = tuple(f"customer {number}" for number in range(100_000))
    before = len(list(Path("/proc/self/fd").iterdir()))
    ours.send(messages.Wake(queues), descriptors=[write])
    ours.send(messages.Pause())
    received = theirs.receive()
    assert received is not None
    message, (passed,) = received
    assert message == messages.Wake(queues)
    os.write(passed, b"x")
    assert os.read(read, 1) == b"x"
    assert theirs.messages() == [messages.Pause()]
    for fd in (passed, write, read):
        os.close(fd)
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 2
