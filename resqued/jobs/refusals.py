"""What cannot be a job, and what a job does not have: each with the way out.

Used where an application declares jobs, and where it asks a job for what other
libraries have. Must not run any of the application's code.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from resqued.errors import JobClassError

_RETRY = "use retry=, as in retry=resqued.Retry(3, delay='10s')"
_DELAY = "use enqueue_in('10m', …) or enqueue_at(when, …)"
_CRON = "write @resqued.cron('0 3 * * *') or @resqued.every('10m') above it"
_UNIQUE = "equal jobs may wait side by side: take a lock in the job"
_RESULT = "what a job returns is dropped: have the job store it"
_ENQUEUE = "use enqueue"
_DEQUEUE = "use dequeue, with the arguments of the job"

# What other libraries have, under their names: the way out here.
_KEYWORDS = {
    **dict.fromkeys(("retries", "max_retries", "autoretry_for", "retry_delay"), _RETRY),
    **dict.fromkeys(("delay", "countdown", "eta", "enqueue_in"), _DELAY),
    **dict.fromkeys(("cron", "crontab", "every", "schedule"), _CRON),
    **dict.fromkeys(("unique", "unique_for", "lock", "job_id"), _UNIQUE),
    **dict.fromkeys(("track", "keep_result", "result_ttl", "store_results"), _RESULT),
    **dict.fromkeys(
        ("time_limit", "soft_time_limit", "job_timeout", "max_runtime"), "use timeout="
    ),
    "memory_limit": "use memory=",
    "queue_name": "use queue=",
    "priority": "the order of a queue list is the priority: use queue=",
    "bind": "a job is not given itself: drop self from its parameters",
}
_ATTRIBUTES = {
    **dict.fromkeys(("delay", "apply_async", "send", "defer", "submit"), _ENQUEUE),
    **dict.fromkeys(("schedule", "send_with_options"), _DELAY),
    **dict.fromkeys(("get", "result", "wait"), _RESULT),
    **dict.fromkeys(("cancel", "revoke", "remove"), _DEQUEUE),
    "retry_later": "raise resqued.RetryLater('30s') in the job",
    "enqueue_many": "use resqued.enqueue_many(items, job=…)",
    "delay_on_commit": "call enqueue in what your database runs after a commit",
}


def keywords(others: Iterable[str]) -> JobClassError:
    """Return the error for keywords that the decorator does not have."""
    known = "it takes queue, name, timeout, memory, retry and hooks"
    said = [f"no {one}=: {_KEYWORDS.get(one, known)}" for one in others]
    return JobClassError(f"resqued.job has {'; and '.join(said)}")


def hooks_of_class(name: str, hooks: Iterable[str]) -> JobClassError:
    """Return the error for hooks that were given to the decorator of a class."""
    said = ", ".join(f"{hook}=" for hook in hooks)
    return JobClassError(
        f"{name} is a class, whose hooks are its methods: write them, or inherit them"
        f" from a plugin, in place of {said}"
    )


def attribute(name: str, missing: str) -> AttributeError:
    """Return the error for an attribute that the job `name` does not have."""
    hint = f": {_ATTRIBUTES[missing]}" if missing in _ATTRIBUTES else ""
    return AttributeError(f"job {name} has no attribute {missing!r}{hint}")


def function_in(target: object) -> Callable[..., Any]:
    """Return the function that is decorated: target, or what its staticmethod holds.

    Raises JobClassError, with what to decorate in its place, if target is neither.
    """
    if isinstance(target, staticmethod):
        return function_in(target.__func__)
    if isinstance(target, str):
        reason = f"give the queue by its keyword, as in @resqued.job(queue={target!r})"
    elif isinstance(target, functools.partial):
        reason = "it is a functools.partial, which has no name: write a function"
    elif isinstance(target, classmethod) or inspect.ismethod(target):
        reason = (
            "it is a method: declare a function, or a class with a static or class"
            " method perform"
        )
    elif not callable(target):
        reason = "declare a function, or a class with perform"
    elif not hasattr(target, "__qualname__"):
        reason = (
            f"it is an instance of {type(target).__name__}, which has no name: write a"
            " function that calls it"
        )
    else:
        return target
    raise JobClassError(f"{target!r} cannot be a job: {reason}")
