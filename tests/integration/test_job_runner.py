"""The running job of a worker: a real child, and the poller of the worker."""

from __future__ import annotations

import os
import select
import time

import pytest

from resqued.child import ChildContext
from resqued.config.settings import AppSettings
from resqued.execution.job_runner import JobRunner
from resqued.execution.reporter import WorkerReporter
from resqued.execution.worker_links import WorkerLinks
from resqued.ipc import messages
from resqued.ipc.channel import socket_pair
from resqued.ipc.scoreboard import Scoreboard
from resqued.jobs.declare import temporary_job
from resqued.log import logger
from resqued.store.connection import SingleLink
from resqued.system.signals import SignalInbox
from resqued.wire.payload import Reservation
from tests.support.forking import run_in_child

NAME = "tests.nothing"
HELD = Reservation("q", "now", b'{"class":"%b","args":[]}' % NAME.encode(), 0)
# In milliseconds; only a test that fails takes so long.
PATIENCE = 30_000


def run_jobs(jobs_per_child: int, count: int) -> list[int]:
    """Run jobs one after the other; return how often the worker had to wait for each.

    The worker waits until the child has something to say, and never for a time.
    """
    settings = AppSettings(url="redis://localhost", jobs_per_child=jobs_per_child)
    scoreboard, poll, inbox = Scoreboard.create(), select.poll(), SignalInbox()
    poll.register(inbox.fileno(), select.POLLIN)
    ours, _theirs = socket_pair()
    runner = JobRunner(
        ChildContext.of(os.getpid(), "w", settings, scoreboard),
        WorkerReporter(scoreboard, 1, logger.get(role="worker")),
        poll,
        WorkerLinks(
            inbox, messages.worker_to_master(ours), scoreboard, SingleLink(settings.url)
        ),
    )
    waits = []
    for _ in range(count):
        assert runner.start(HELD, may_fork_ahead=False)
        waits.append(0)
        while runner.advance(time.monotonic(), keeps_child=True) is None:
            waits[-1] += 1
            ready = poll.poll(PATIENCE)
            assert ready, "the child has something to say, and nobody listens"
            if inbox.fileno() in dict(ready):
                list(inbox.drain())
                runner.reap()
            runner.listen()
    runner.discard_standby()
    return waits


@pytest.mark.parametrize(("jobs_per_child", "count"), [(1, 2), (3, 6)])
def test_a_worker_waits_for_nothing_but_the_word_of_its_child(
    jobs_per_child: int, count: int
) -> None:
    def live() -> None:
        with temporary_job(NAME):
            assert max(run_jobs(jobs_per_child, count)) <= 2  # its outcome, its exit

    run_in_child(live)
