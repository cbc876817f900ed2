"""The socket pair between a master and its workers, with both ends in one process."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from resqued.ipc.channel import Channel, ChannelClosed

Pair = tuple[Channel, Channel]


@pytest.fixture
def pair() -> Iterator[Pair]:
    both = Channel.pair()
    yield both
    for one in both:
        one.close()


def test_messages_arrive_whole_and_in_order(pair: Pair) -> None:
    ours, theirs = pair
    ours.send("hello", 4711, "web1")
    ours.send("ready")
    assert theirs.messages() == [["hello", 4711, "web1"], ["ready"]]
    assert theirs.messages() == []


def test_what_was_said_before_the_end_is_heard_before_it(pair: Pair) -> None:
    ours, theirs = pair
    theirs.send("hello", 1)
    theirs.close()
    assert ours.messages() == [["hello", 1]]
    with pytest.raises(ChannelClosed):
        ours.messages()


def test_last_words_are_heard_of_one_who_has_not_read_ours(pair: Pair) -> None:
    # The kernel tells of a reset then, before it gives what had arrived.
    ours, theirs = pair
    theirs.send("hello", 1)
    ours.send("quit")
    theirs.close()
    assert ours.messages() == [["hello", 1]]
    with pytest.raises(ChannelClosed):
        ours.messages()


def test_who_has_gone_cannot_be_told_anything(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(ChannelClosed):
        ours.send("wake")


def test_a_descriptor_goes_with_a_message(pair: Pair) -> None:
    ours, theirs = pair
    read, write = os.pipe()
    ours.send("spawn", descriptors=[write])
    os.close(write)
    received = theirs.receive()
    assert received is not None
    _, (passed,) = received
    os.write(passed, b"x")
    assert os.read(read, 1) == b"x"
    os.close(passed)
    os.close(read)
