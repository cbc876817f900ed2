"""The yardstick: the smallest honest loop that runs each job in a forked child.

Per job one round trip to Redis, one child and the wait for its exit; nothing is
registered, counted, limited or logged. What a worker adds to this is its own cost;
what is in here, no worker that forks per job can leave out.

It is made fast by what any worker may do as well: the next child is forked while
this one runs, exit is waited for before the answer is read, which saves a wake-up,
and the heap is frozen. It speaks to Redis as a program does that uses redis-py,
through its client and on one connection.
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

# One message each way, kept whole by SOCK_SEQPACKET.
LARGEST = 65536
DONE = b"1"


class Store:
    """One connection, and the two commands that this loop sends."""

    def __init__(self, url: str) -> None:
        # A blocking pop may take as long as it likes.
        self._client = redis.Redis.from_url(
            url, socket_timeout=None, single_connection_client=True
        )
        self._script = self._client.script_load(POP)

    def pop(self) -> bytes | None:
        """Take the next job, or answer None: one round trip."""
        return self._client.evalsha(self._script, 1, QUEUE)

    def wait(self) -> bytes:
        """Take the next job, blocking until there is one."""
        return self._client.blpop(QUEUE, 0)[1]


class Forks:
    """Children forked ahead, each of which waits for one job.

    Two pairs of sockets serve in turn: one for the child that runs, one for the
    child that waits. A pair is used again only after its child has been reaped.
    """

    def __init__(self, jobs: dict[str, Callable[..., None]]) -> None:
        self._jobs = jobs
        self._pairs = [
            socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)
        ]
        self._turn = 0

    def ahead(self) -> tuple[int, socket.socket]:
        """Fork a child; answer its pid and the socket that it reads from."""
        ours, theirs = self._pairs[self._turn]
        self._turn ^= 1
        pid = os.fork()
        if pid == 0:
            self._perform(theirs)
        return pid, ours

    def _perform(self, job: socket.socket) -> NoReturn:
        """Run one job and end. Runs in the child."""
        payload = json.loads(job.recv(LARGEST))
        self._jobs[payload["class"]](*payload["args"])
        job.send(DONE)
        os._exit(0)


def work(store: Store, forks: Forks, burst: bool) -> int:
    """Run jobs until the queue is empty, or for ever; answer how many ran."""
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
    """Read the command line and work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--redis", required=True, metavar="URL")
    parser.add_argument("--app", default="marks", help="module imported before forking")
    parser.add_argument("--burst", action="store_true", help="end when queue is empty")
    options = parser.parse_args()
    jobs = importlib.import_module(options.app).JOBS
    store = Store(options.redis)
    gc.collect()
    gc.freeze()
    work(store, Forks(jobs), options.burst)


if __name__ == "__main__":
    main()
