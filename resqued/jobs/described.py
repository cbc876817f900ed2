"""What each job of the application takes and is limited to, for programs that show it.

Runs in the zygote, once, before the first worker is forked. Programs that look at jobs
can name arguments with it, and need not import the application.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from resqued.errors import JobClassError
from resqued.jobs.declare import DECLARED
from resqued.jobs.lookup import classes_with_perform, parameters
from resqued.wire.naming import (
    DeclaredJob,
    limits_of,
    queue_of,
    target_of,
    wire_name,
)

# How many jobs are described, how long one description may be, and how long those of
# one message, in characters.
MOST = 1_000
LONGEST = 4_000
ROOM = 32_000


def described_jobs(modules: Collection[str]) -> dict[str, str]:
    """Return JSON about each job by its name in payloads; of MOST jobs at most."""
    found: dict[str, str] = {}
    for job in (*DECLARED.values(), *classes_with_perform(modules)):
        try:
            name, text = wire_name(job), _describe(job)
        except Exception:  # noqa: S112 - odd objects of the application
            continue
        if len(name) + len(text) <= LONGEST:
            found.setdefault(name, text)
        if len(found) == MOST:
            break
    return found


def _describe(job: DeclaredJob | type) -> str:
    try:
        queue = queue_of(job)
    except JobClassError:
        queue = None
    # Of a declared function the signature is that of the function itself.
    target: Any = target_of(job) if isinstance(job, type) else job
    values = {
        "parameters": parameters(target),
        "queue": queue,
        "limits": limits_of(job)._asdict(),
    }
    return json.dumps(values)


def in_pages(jobs: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the descriptions in parts, each with room in a message."""
    page: dict[str, str] = {}
    room = ROOM
    for name, text in jobs.items():
        room -= len(name) + len(text)
        if room < 0 and page:
            yield page
            page, room = {}, ROOM - len(name) - len(text)
        page[name] = text
    if page:
        yield page
