"""The zygote goes through a child's life: what of that must not be seen afterwards."""

from __future__ import annotations

import ctypes
import io
import logging
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from resqued.config.settings import AppSettings
from resqued.errors import JobClassError
from resqued.execution.warmup import NAME, warm_up
from resqued.jobs.lookup import resolve
from resqued.system import process
from resqued.system.signals import HANDLED, SignalInbox
from tests.support.forking import run_in_child

TITLE = "resqued zygote [gen 1] rehearsed"
SETTINGS = AppSettings(url="redis://localhost", jobs_per_child=3, nice=5, open_files=64)

PR_GET_PDEATHSIG, PR_GET_CHILD_SUBREAPER = 2, 37


def in_a_zygote(look: Callable[[SignalInbox], None]) -> None:
    """Rehearse in a process of its own, and look at it: it must find all well."""

    def live() -> None:
        inbox = SignalInbox()
        warm_up(SETTINGS, inbox, TITLE)
        look(inbox)

    run_in_child(live)


def ask_prctl(question: int) -> int:
    answer = ctypes.c_int(-1)
    assert ctypes.CDLL(None).prctl(question, ctypes.byref(answer)) == 0
    return answer.value


def test_it_neither_dies_with_its_parent_nor_adopts_orphans() -> None:
    def look(_inbox: SignalInbox) -> None:
        assert ask_prctl(PR_GET_PDEATHSIG) == 0
        assert ask_prctl(PR_GET_CHILD_SUBREAPER) == 0

    in_a_zygote(look)


def test_signals_wait_in_its_inbox_again() -> None:
    def look(inbox: SignalInbox) -> None:
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= HANDLED
        os.kill(os.getpid(), signal.SIGTERM)
        assert [received.signum for received in inbox.drain()] == [signal.SIGTERM]
        # Let through, as while the application is imported, it has no effect.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        os.kill(os.getpid(), signal.SIGTERM)

    in_a_zygote(look)


def test_the_title_is_its_own_and_the_limits_are_those_before() -> None:
    nice, files = os.nice(0), os.sysconf("SC_OPEN_MAX")

    def look(_inbox: SignalInbox) -> None:
        assert process.title(os.getpid()) == TITLE
        assert (os.nice(0), os.sysconf("SC_OPEN_MAX")) == (nice, files)

    in_a_zygote(look)


def test_no_descriptor_is_left() -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()

    def look(_inbox: SignalInbox) -> None:
        assert count() == before + 1  # the inbox's

    in_a_zygote(look)


def test_nobody_can_enqueue_what_was_rehearsed_with() -> None:
    def look(_inbox: SignalInbox) -> None:
        with pytest.raises(JobClassError):
            resolve(NAME, ())

    in_a_zygote(look)


def test_random_numbers_go_on_as_the_application_has_seeded_them() -> None:
    def live() -> None:
        random.seed(7)
        wanted = [random.random(), random.random()]
        random.seed(7)
        inbox = SignalInbox()
        assert random.random() == wanted[0]
        warm_up(SETTINGS, inbox, TITLE)
        assert random.random() == wanted[1]

    run_in_child(live)


def test_a_thread_of_the_application_is_not_taken_for_dead() -> None:
    def live() -> None:
        may_end = threading.Event()
        thread = threading.Thread(target=may_end.wait)
        thread.start()
        inbox = SignalInbox()
        warm_up(SETTINGS, inbox, TITLE)
        assert thread in threading.enumerate()
        assert thread.is_alive()
        may_end.set()
        thread.join()
        warm_up(SETTINGS, inbox, TITLE)
        # What waits for threads at the end of the process continues to work.
        again = threading.Thread(target=may_end.wait)
        again.start()
        again.join()
        assert threading.enumerate() == [threading.main_thread()]

    run_in_child(live)


def test_the_log_can_be_locked_again() -> None:
    def look(_inbox: SignalInbox) -> None:
        handler = logging.StreamHandler(io.StringIO())
        logging.getLogger("rehearsed").addHandler(handler)
        logging.getLogger("rehearsed").warning("still here")
        assert handler.stream.getvalue() == "still here\n"

    in_a_zygote(look)
