"""The meaning of signals to a worker, as orders of the master."""

from __future__ import annotations

import signal

from resqued.config.settings import AppSettings
from resqued.core.lifecycle import Stop
from resqued.ipc import messages
from resqued.ipc.messages import EndJob, Leave, WorkerOrder
from resqued.log.logger import Logger
from resqued.system import process
from resqued.system.signals import Received

_TERMINATION = (Leave(Stop.TERMINATE), EndJob("its worker was told to terminate"))
SIGNAL_ORDERS: dict[int, tuple[WorkerOrder, ...]] = {
    signal.SIGQUIT: (Leave(),),
    signal.SIGTERM: _TERMINATION,
    signal.SIGINT: _TERMINATION,
    signal.SIGUSR1: (EndJob("it was dropped (SIGUSR1)"),),
    signal.SIGUSR2: (messages.Pause(),),
    signal.SIGCONT: (messages.Resume(),),
}


def signal_orders(
    received: Received, log: Logger, settings: AppSettings
) -> tuple[WorkerOrder, ...]:
    """Return the orders that a signal to a worker means, and log the signal.

    With `[worker] graceful_term` SIGTERM means the same as SIGQUIT.
    """
    orders = SIGNAL_ORDERS.get(received.signum, ())
    if orders:
        sender = received.sender, received.uid, received.signum
        sent_by = process.describe(*sender)
        name = signal.Signals(received.signum).name
        log.info("signal_received", signal=name, sent_by=sent_by)
    if settings.graceful_term and received.signum == signal.SIGTERM:
        return (Leave(),)
    return orders
