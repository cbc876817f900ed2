"""Where signals wait: all that have come are read at once, and who sent them."""

from __future__ import annotations

import os
import signal

from resqued.system.signals import HANDLED, SignalInbox
from tests.support.forking import run_in_child


def test_every_signal_at_once_and_nothing_after() -> None:
    def look() -> None:
        inbox = SignalInbox()
        assert inbox.drain() == []
        # One that continues would do away with those that stop, and they with it.
        sent = HANDLED - {signal.SIGCONT}
        for signum in sent:
            os.kill(os.getpid(), signum)
        received = inbox.drain()
        assert {found.signum for found in received} == sent
        assert len(received) == len(sent)
        assert {(found.sender, found.uid) for found in received} == {
            (os.getpid(), os.getuid())
        }
        assert inbox.drain() == []

    run_in_child(look)


def test_as_many_as_fit_into_one_reading() -> None:
    def look() -> None:
        inbox = SignalInbox()
        sent = [signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2]
        for signum in sent:
            os.kill(os.getpid(), signum)
        assert sorted(found.signum for found in inbox.drain()) == sorted(sent)
        assert inbox.drain() == []

    run_in_child(look)
