"""The connections of a worker to other processes."""

from __future__ import annotations

from typing import NamedTuple

from resqued.ipc.channel import Channel
from resqued.ipc.messages import WorkerOrder, WorkerReport
from resqued.ipc.scoreboard import Scoreboard
from resqued.store.connection import SingleLink
from resqued.system.signals import SignalInbox


class WorkerLinks(NamedTuple):
    """The connections of a worker: signals, channel to the master, scoreboard, Redis.

    They are made before the worker: what the zygote has done, no worker does again.
    """

    inbox: SignalInbox

    channel: Channel[WorkerReport, WorkerOrder]
    scoreboard: Scoreboard
    redis: SingleLink
