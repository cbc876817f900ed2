"""The producer: a process that pushes jobs with one library.

Runs in the environment of that library, which the benchmark itself does not have. It
reads requests from standard input and writes replies to standard output, each as one
line of JSON. The argument names a module of this folder with the functions `push`,
`push_many`, `backlog`, and optionally `push_raw`.
"""

import importlib
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import marks

# Seconds between two jobs, at random, so that they do not coincide with a library's
# polling interval. The upper limit bounds the back-off of a poll with growing pauses.
GAPS = (0.020, 0.080)

# In seconds: long enough for a worker that is still starting.
PATIENCE = 30

Library = Any  # a module with the functions named above


def fill(library: Library, count: int) -> None:
    """Push `count` no-op jobs between two marks; no worker runs yet."""
    library.push("mark", "start")
    library.push_many(count)
    library.push("mark", "end")


def one_by_one(library: Library, count: int) -> float:
    """Return the seconds to push `count` jobs, with one call for each."""
    for _ in range(20):  # connections, scripts and declared queues
        library.push("noop")
    begin = time.perf_counter()
    for _ in range(count):
        library.push("noop")
    return time.perf_counter() - begin


def bulk(library: Library, count: int) -> float:
    """Return the seconds to push `count` jobs by the library's call for many."""
    library.push_many(20)
    begin = time.perf_counter()
    library.push_many(count)
    return time.perf_counter() - begin


def latency(library: Library, count: int, raw: bool, warm_up: int) -> list[float]:
    """Return the seconds from push to start, for `count` pushes to an idle worker.

    Each push waits for the mark of the previous job and then for a gap, so that the
    worker is idle. The first `warm_up` pushes do not count: the first of them meets a
    worker that is still starting.
    """
    push: Callable[..., None] = library.push_raw if raw else library.push
    waits = []
    for number in range(-warm_up, count):
        time.sleep(random.uniform(*GAPS))
        pushed = time.monotonic_ns()
        push("mark", str(number))
        mark = marks.client().blpop([marks.MARKS], timeout=PATIENCE)
        if mark is None:
            raise SystemExit(f"job {number} did not run within {PATIENCE} s")
        name, started = mark[1].split()
        if int(name) != number:
            raise SystemExit(f"job {number} was pushed, and job {int(name)} ran")
        if number >= 0:
            waits.append((int(started) - pushed) / 1e9)
    return waits


def push(library: Library, job: str, args: list[str]) -> None:
    """Push one job."""
    library.push(job, *args)


def backlog(library: Library) -> int:
    """Return the number of jobs that are queued or held by a worker."""
    return library.backlog()


ACTIONS: dict[str, Callable[..., object]] = {
    action.__name__: action
    for action in (fill, one_by_one, bulk, latency, push, backlog)
}


def main() -> None:
    """Handle requests until standard input ends."""
    library = importlib.import_module(sys.argv[1])
    replies = sys.stdout
    sys.stdout = sys.stderr  # what a library prints must not be read as a reply
    for line in sys.stdin:
        request = json.loads(line)
        reply = ACTIONS[request.pop("do")](library, **request)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
