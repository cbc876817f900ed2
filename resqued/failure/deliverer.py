"""The deliverer: brings the failures of one outbox to one back end.

The master starts `python -m resqued.failure.deliverer FD BACKEND` for each back end of
another service, so none waits for another one, and no job waits for any. A delivery
that takes too long is ended by SIGALRM, or else with this process.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from select import select
from types import FrameType

from msgspec.structs import replace

from resqued.config.settings import AppSettings
from resqued.core.backoff import Backoff
from resqued.errors import (
    ConfigError,
    DeliveryError,
    DeliveryRefused,
    ResquedError,
    StoreError,
)
from resqued.failure.backend import FailureBackend
from resqued.failure.backend_lookup import backend_of
from resqued.ipc.channel import ChannelClosed, inherited_socket
from resqued.ipc.messages import receive_start
from resqued.log import capture, logger
from resqued.store.connection import SingleLink
from resqued.store.outbox import Delivery, Outbox
from resqued.system import prctl, process, process_title, signals
from resqued.wire.keys import Keys

# The wait after a failed delivery: it doubles, up to this.
_FIRST, _CAP = 1.0, 300.0
# How often a process that waits looks at its lease, and at its master, in seconds.
_LOOK = 5.0
# Beyond the limit of a delivery, before the process is ended.
_PATIENCE = 2.0
# Longer than the wait for a failure (store/outbox.py).
_REDIS_TIMEOUT = 15.0
_LEASE = 30.0
# Of the text of an exception in the log, in characters.
_MOST_SHOWN = 2_000


class _Leaving(SystemExit):
    """Raised when this process is ordered to leave; a back end may raise SystemExit."""


class Deliverer:
    """Delivers the failures of one outbox, until its master is gone."""

    def __init__(
        self, name: str, backend: FailureBackend, outbox: Outbox, limit: float
    ) -> None:
        self._backend = backend
        self._outbox = outbox
        self._limit = limit
        self._log = logger.get(role="deliverer", pid=os.getpid(), backend=name)
        self._backoff = Backoff(first=_FIRST, cap=_CAP)
        self._is_new = True

    def step(self) -> float:
        """Deliver one failure, or wait for one; return for how long to wait then.

        Raises StoreError if Redis fails.
        """
        now = time.monotonic()
        taken = self._outbox.take()
        if not taken.is_owner:
            return _LOOK
        if taken.dropped:
            self._log.error("delivery_dropped", failures=taken.dropped)
        if now < self._backoff.ready_at:
            return min(_LOOK, self._backoff.ready_at - now)
        is_first, self._is_new = self._is_new, False
        if taken.delivery is not None and is_first:
            # The process before may have died of this one, as of a fault in a library:
            # the others come first.
            self._outbox.end(taken.delivery, again=True)
        elif taken.delivery is None:
            self._outbox.wait()
        else:
            self._deliver(taken.delivery)
        return 0.0

    def _deliver(self, delivery: Delivery) -> None:
        failure, captured = delivery.failure, ""
        if self._backend.wants_exception:
            captured = self._outbox.captured(failure)
        try:
            with _limited(self._limit):
                if captured:
                    self._backend.save_captured(failure, delivery.id, captured)
                else:
                    self._backend.save(failure, delivery.id)
        except DeliveryRefused as error:
            self._log.error("delivery_refused", failure=failure.id, error=str(error))
        except (_Leaving, KeyboardInterrupt):
            raise
        except BaseException as error:  # the code of a library or of the application
            now = time.monotonic()
            self._backoff = self._backoff.failed(now, random.random())
            if isinstance(error, DeliveryError) and error.retry_after:
                asked = now + min(error.retry_after, _CAP)
                ready_at = max(asked, self._backoff.ready_at)
                self._backoff = replace(self._backoff, ready_at=ready_at)
            self._log.warning(
                "delivery_failed",
                failure=failure.id,
                error=_shown(error),
                retry_in=round(self._backoff.ready_at - now, 1),
            )
            self._outbox.end(delivery, again=True)
            return
        self._backoff = self._backoff.succeeded()
        self._outbox.end(delivery, again=False)


def _shown(error: BaseException) -> str:
    """Return an exception of a back end as text; it may be one of the application."""
    try:
        text = str(error)
    except BaseException as trouble:
        text = f"its __str__ raised {type(trouble).__name__}"
    return f"{type(error).__name__}: {text}"[:_MOST_SHOWN]


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in a block that takes too long; end the process after that."""

    def expire(_signum: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer within delivery_timeout, {seconds:g} s")

    signal.signal(signal.SIGALRM, expire)
    faulthandler.dump_traceback_later(seconds + _PATIENCE, exit=True, file=2)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()


def outbox_of(name: str, settings: AppSettings) -> Outbox:
    """Return the outbox of a back end, on a connection of its own."""
    timeout = max(_REDIS_TIMEOUT, settings.redis_timeout)
    link = SingleLink(settings.url, timeout=timeout, namespace=settings.namespace)
    lease = _LEASE + settings.delivery_timeout
    parent = os.getppid()
    host = process.host_in_ids(settings.hostname)
    token = f"{host}:{parent}:{process.start_time(parent)}"
    return Outbox(link, Keys(settings.namespace), name, token=token, lease=lease)


def main(fd: int, name: str) -> int:
    """Deliver until the master is gone; return the exit status."""
    prctl.die_with_parent(os.getppid(), signal.SIGTERM)
    sock = inherited_socket(fd)
    select([sock], [], [])
    try:
        start = receive_start(sock)
    except ChannelClosed:
        return 0
    assert start is not None, "select found a message"
    settings, style = start.settings, start.log
    process_title.set_title(f"resqued deliverer [{name}]")
    logger.configure(level=style.level, style=style.style, events=style.events)
    capture.install()
    signals.unblock()
    about = {"role": "deliverer", "pid": os.getpid(), "backend": name}
    try:
        if settings.directory:
            os.chdir(settings.directory)
        backend = backend_of(name, settings)
    except (ConfigError, OSError) as error:
        logger.get(**about).error("deliverer_failed", error=str(error))
        return 78
    outbox = outbox_of(name, settings)
    deliverer = Deliverer(name, backend, outbox, settings.delivery_timeout)
    signal.signal(signal.SIGTERM, _leave)
    try:
        deliver_all(deliverer, sock.fileno())
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with suppress(ResquedError):  # the lease expires
            outbox.release()
    return 0


def deliver_all(deliverer: Deliverer, fd: int) -> None:
    """Deliver until the master closes its end of the channel."""
    wait = 0.0
    while not select([fd], [], [], wait)[0]:
        try:
            wait = deliverer.step()
        except StoreError:  # master and workers say so
            wait = 1.0


def _leave(_signum: int, _frame: FrameType | None) -> None:
    raise _Leaving(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
