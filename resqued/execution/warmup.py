"""Execution of the code of workers and children before the first worker is forked.

Runs in the zygote, as the last step before its heap is frozen. A child runs each line
once, and so does a worker at its start. Python and the loader compute specialised code
and caches at the first runs of a line; this way they do so before the fork.

hot path: warm-up
"""

from __future__ import annotations

import _thread
import logging
import os
import random
import threading
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from resqued import child
from resqued.config.settings import AppSettings
from resqued.core.pool_key import PoolKey
from resqued.execution.worker_links import WorkerLinks
from resqued.ipc.channel import Channel
from resqued.ipc.job_pipe import ChildEnd, PipeSecret, WorkerEnd
from resqued.ipc.messages import SpawnWorker
from resqued.ipc.scoreboard import Scoreboard
from resqued.jobs.declare import temporary_job
from resqued.store.connection import SingleLink
from resqued.system import memory, prctl, process_title, signals
from resqued.system.signals import SignalInbox
from resqued.wire import queue_list

# Python specialises code after about eight runs.
_TIMES = 16
NAME = "resqued.warmup"
_PAYLOAD = b'{"class":"%b","args":[]}' % NAME.encode()


def warm_up(settings: AppSettings, inbox: SignalInbox, title: str) -> None:
    """Run the code of a child several times, with a job that does nothing.

    The changes that a child makes to its process are undone at the end; `title` is
    the title of this process, which is set again.
    """
    scoreboard = Scoreboard.create()
    reaction = child.SignalReaction(scoreboard)
    # A signal that arrives meanwhile has no effect.
    reaction.stage = "over"
    plain = replace(settings, jobs_per_child=1, nice=0, open_files=-1, core_size=-1)
    terms = child.ChildContext.of(os.getppid(), NAME, plain, scoreboard)
    # Code of the application is for its jobs alone.
    terms = replace(terms, fork_hooks=())
    life = child.ChildMain(inbox, reaction, terms)
    try:
        with temporary_job(NAME):
            for _ in range(_TIMES):
                _live(life)
            _run_fork_hooks()
    finally:
        signals.block()
        inbox.react(None)
        prctl.undo()
        process_title.set_title(title)
        scoreboard.close()


def make_often(
    make: Callable[..., object],
    settings: AppSettings,
    inbox: SignalInbox,
    channel: Channel[Any, Any],
    link: SingleLink,
) -> None:
    """Make a worker several times, with the channel of this process for its own.

    `make` makes it from the settings, a queue list, its links and the order. What the
    imports have looked up is forgotten first.
    """
    memory.empty_type_cache()
    scoreboard = Scoreboard.create()
    links = WorkerLinks(inbox, channel, scoreboard, link)
    order = SpawnWorker(PoolKey("*", settings.namespace))
    try:
        for _ in range(_TIMES):
            make(settings, queue_list.parse("*"), links, order)
    finally:
        scoreboard.close()


def _run_fork_hooks() -> None:
    """Run what Python's own modules run in each child after a fork.

    hot path: fork-hooks
    """
    thread_hook = getattr(threading, "_after_fork", None)
    log_hook = getattr(logging, "_after_at_fork_child_reinit_locks", None)
    # The hooks take every other thread for dead. Threads of gevent and eventlet have
    # hooks of their own.
    is_alone = threading.active_count() == 1
    is_own = threading.get_ident is _thread.get_ident
    if not (is_alone and is_own and thread_hook and log_hook):
        return
    # The application may have chosen a seed.
    state = random.getstate()
    for _ in range(_TIMES):
        thread_hook()
        log_hook()
        random.seed()
    random.setstate(state)


def _live(life: child.ChildMain) -> None:
    """Run the code of a child once, with this process as worker and child in turn."""
    down, up = os.pipe(), os.pipe()
    secret = PipeSecret()
    worker = WorkerEnd(down[1], up[0], secret=secret)
    end = ChildEnd(down[0], up[1], secret=secret, read_end=up[0])
    worker.give(b"rehearsal", _PAYLOAD)
    life(end, ())
    worker.receive(may_stay=False)
    worker.close()
    for fd in (down[0], up[1]):
        os.close(fd)
