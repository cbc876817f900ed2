"""The connections of a worker to other processes."""

from __future__ import annotations

from typing import NamedTuple

from resqued.ipc.channel import Channel
from resqued.ipc.messages import WorkerOrder, WorkerReport
from resqued.ipc.scoreboard import Scoreboard
from resqued.store.connection import SingleLink


class WorkerLinks(NamedTuple):
    """The connections of a worker: channel to the master, scoreboard, Redis."""

    channel: Channel[WorkerReport, WorkerOrder]
    scoreboard: Scoreboard
    redis: SingleLink
