"""The producer: a process that pushes jobs with the library that it was told.

Runs in the environment of that library, which the one who measures has not got.
Requests come on standard input and answers leave on standard output, one line of
JSON each. The library's side is a module of this folder with `push`, `push_many`,
`backlog`, and perhaps `push_raw`.
"""

import importlib
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import marks

# A random gap, so that no library's polling interval can fall into step with it.
# The upper end bounds how far a poll with growing pauses has backed off.
GAPS = (0.020, 0.080)

# Long enough for a worker that is still starting.
PATIENCE = 30

Library = Any  # a module with the functions named above


def fill(library: Library, count: int) -> None:
    """Put `count` no-op jobs between two marks, before any worker is there."""
    library.push("mark", "start")
    library.push_many(count)
    library.push("mark", "end")


def one_by_one(library: Library, count: int) -> float:
    """Seconds to push `count` jobs, one call each."""
    for _ in range(20):  # connections, scripts and declared queues
        library.push("noop")
    begin = time.perf_counter()
    for _ in range(count):
        library.push("noop")
    return time.perf_counter() - begin


def bulk(library: Library, count: int) -> float:
    """Seconds to push `count` jobs by the library's call for many."""
    library.push_many(20)
    begin = time.perf_counter()
    library.push_many(count)
    return time.perf_counter() - begin


def latency(library: Library, count: int, raw: bool, warm_up: int) -> list[float]:
    """Seconds from push to start, for `count` pushes to an idle worker.

    The next push waits for the last job's mark and then for a gap, so that the
    worker is idle however long its own settling takes. Pushes at the start are
    thrown away: the first finds a worker that is still starting.
    """
    push: Callable[..., None] = library.push_raw if raw else library.push
    waits = []
    for number in range(-warm_up, count):
        time.sleep(random.uniform(*GAPS))
        pushed = time.monotonic_ns()
        push("mark", str(number))
        answer = marks.client().blpop([marks.MARKS], timeout=PATIENCE)
        if answer is None:
            raise SystemExit("the job that was pushed did not run")
        name, started = answer[1].split()
        if int(name) != number:
            raise SystemExit(f"job {number} was pushed, and job {int(name)} ran")
        if number >= 0:
            waits.append((int(started) - pushed) / 1e9)
    return waits


def push(library: Library, job: str, args: list[str]) -> None:
    """Push one job."""
    library.push(job, *args)


def backlog(library: Library) -> int:
    """Count the jobs that are still queued or in a worker's hands."""
    return library.backlog()


ACTIONS: dict[str, Callable[..., object]] = {
    action.__name__: action
    for action in (fill, one_by_one, bulk, latency, push, backlog)
}


def main() -> None:
    """Answer requests until standard input ends."""
    library = importlib.import_module(sys.argv[1])
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is not an answer
    for line in sys.stdin:
        request = json.loads(line)
        answer = ACTIONS[request.pop("do")](library, **request)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
