"""Messages between the processes of a master: each arrives as what it was."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from resqued.config.settings import AppSettings
from resqued.core.lifecycle import Stop
from resqued.core.limits import Cause, Limits, Rules
from resqued.core.pool_key import PoolKey
from resqued.core.timings import Timings
from resqued.ipc import messages
from resqued.ipc.channel import Channel, ChannelClosed, socket_pair

SETTINGS = AppSettings(
    url="unix:///run/\udcff.sock",
    modules=("a", "b.c"),
    redact=("password",),
    rules=Rules(
        Limits(1.5, 0),
        {"mail": Limits(None, 1 << 40)},
        {"a.B": Limits(), "Café\udc80": Limits(0.0, None)},
    ),
    timings=replace(Timings(), start_window=0.25),
)

EXAMPLES: dict[Any, list[Any]] = {
    messages.WorkerOrder: [
        messages.Wake(),
        messages.Pause(),
        messages.Resume(),
        messages.PausedQueues(("a:b", "\udcff")),
        messages.PausedQueues(),
        messages.Reconnect(),
        messages.EndJob("it was dropped"),
        messages.EndJob("too long", Cause.RUNTIME, messages.JobInChild(7, 0.1 + 0.2)),
        messages.Leave(),
        messages.Leave(Stop.TERMINATE),
        messages.ReopenLog("/var/log/\udcff.log"),
    ],
    messages.WorkerReport: [
        messages.Hello(4711, "web1:4711:caf\udce9", '{"nonce":"1"}'),
        messages.Registered(),
        messages.IdTaken(),
        messages.Idle(),
        messages.NoMoreJobs(),
        messages.QueuesEmpty(),
    ],
    messages.ZygoteOrder: [
        messages.SpawnWorker(
            PoolKey("a,b", "{mail}"),
            Limits(1.5, None),
            is_paused=True,
            paused_queues=("a", "\udcff"),
        ),
        messages.ReopenLog("log"),
    ],
    messages.Start: [
        messages.Start(SETTINGS, messages.LogSettings("info", "json")),
    ],
    messages.ZygoteReport: [
        messages.DeclaredJobs({"Mail": "{}", "\udcff": "{}"}),
        messages.AppImported(["pool-1"], 1 << 33),
        messages.ImportFailed("cannot import myapp: ImportError", "Traceback …"),
    ],
}
PAIRS = [(union, message) for union, found in EXAMPLES.items() for message in found]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    both = socket_pair()
    yield both
    for one in both:
        one.close()


@pytest.mark.parametrize(("union", "message"), PAIRS, ids=str)
def test_a_message_arrives_as_it_was_sent(
    pair: tuple[socket.socket, socket.socket], union: Any, message: Any
) -> None:
    ours, theirs = pair
    Channel[Any, Any](ours, receives=union).send(message)
    assert Channel[Any, Any](theirs, receives=union).messages() == [message]


def test_every_type_of_message_is_tried() -> None:
    tried = {type(message) for _, message in PAIRS}
    assert tried == {
        kind for union in EXAMPLES for kind in (get_args(union) or (union,))
    }


@pytest.mark.parametrize(
    "text",
    [
        b"no json",
        b"\xff",
        b"null",
        b"[]",
        b'["wake"]',
        b"{}",
        b'{"type":"Unknown"}',
        b'{"type":"Hello"}',
        b'{"type":"Leave","stop":7}',
        b'{"type":"EndJob","reason":5}',
        b"[" * 100_000,
    ],
    ids=lambda text: repr(text[:30]),
)
def test_what_is_no_message_ends_the_channel_with_a_reason(
    pair: tuple[socket.socket, socket.socket], text: bytes
) -> None:
    ours, theirs = pair
    ours.send(text)
    channel = messages.worker_to_master(theirs)
    with pytest.raises(ChannelClosed, match="not a message of this version"):
        channel.messages()


def test_fields_of_a_later_version_do_no_harm(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    ours.send(json.dumps({"type": "Wake", "queue": "mail"}).encode())
    assert messages.worker_to_master(theirs).messages() == [messages.Wake()]
