"""The bare loop: the smallest program that runs each job in a forked child.

All other workers are compared with it. Each job takes one round trip to Redis, one
child and the wait for its exit; nothing is registered, counted, limited or logged. No
worker that forks for each job can do less.

It uses optimisations that any worker can use: it forks the next child while a job
runs, waits for the exit before it reads the reply, which saves a wake-up, and freezes
the heap. It uses redis-py's client on one connection.
"""

import argparse
import gc
import importlib
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

import redis

QUEUE = "bare:queue"
POP = "return redis.call('LPOP', KEYS[1])"

# The most bytes of a message; SOCK_SEQPACKET keeps messages whole.
LARGEST = 65536
DONE = b"1"


class Store:
    """A connection to Redis, with the two commands that this loop sends."""

    def __init__(self, url: str) -> None:
        # No time-out, because a blocking pop may take long.
        self._client = redis.Redis.from_url(
            url, socket_timeout=None, single_connection_client=True
        )
        self._script = self._client.script_load(POP)

    def pop(self) -> bytes | None:
        """Take and return the next job, in one round trip; None if there is none."""
        return self._client.evalsha(self._script, 1, QUEUE)

    def wait(self) -> bytes:
        """Wait for the next job; take and return it."""
        return self._client.blpop(QUEUE, 0)[1]


class Forks:
    """Forks children ahead, each of which waits for one job.

    Two pairs of sockets are used in turn: one for the child that runs a job, one for
    the child that waits. A pair is used again only after its child has been reaped.
    """

    def __init__(self, jobs: dict[str, Callable[..., None]]) -> None:
        self._jobs = jobs
        self._pairs = [
            socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)
        ]
        self._turn = 0

    def ahead(self) -> tuple[int, socket.socket]:
        """Fork a child; return its pid and the socket to write its job to."""
        ours, theirs = self._pairs[self._turn]
        self._turn ^= 1
        pid = os.fork()
        if pid == 0:
            self._perform(theirs)
        return pid, ours

    def _perform(self, job: socket.socket) -> NoReturn:
        """Run one job and exit. Runs in the child."""
        payload = json.loads(job.recv(LARGEST))
        self._jobs[payload["class"]](*payload["args"])
        job.send(DONE)
        os._exit(0)


def work(store: Store, forks: Forks, burst: bool) -> int:
    """Run jobs for ever, or with `burst` until the queue is empty; return how many."""
    performed = 0
    pid, sock = forks.ahead()
    while True:
        payload = store.pop()
        if payload is None:
            if burst:
                break
            payload = store.wait()
        sock.send(payload)
        following = forks.ahead()
        _, status = os.waitpid(pid, 0)
        if status != 0 or sock.recv(1) != DONE:
            raise SystemExit(f"a child ended with status {status}")
        pid, sock = following
        performed += 1
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return performed


def main() -> None:
    """Parse the command line and run jobs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--app", default="marks", help="module imported before forking")
    parser.add_argument(
        "--burst", action="store_true", help="end when the queue is empty"
    )
    options = parser.parse_args()
    jobs = importlib.import_module(options.app).JOBS
    store = Store(options.redis)
    gc.collect()
    gc.freeze()
    work(store, Forks(jobs), options.burst)


if __name__ == "__main__":
    main()
