"""Hooks for all jobs of an application, and for its workers, as decorators.

`resqued.hook.around_perform` and the other kinds of hooks of jobs register a function
for all jobs; it gets a `resqued.JobInfo`. `resqued.hook.after_fork` and the other kinds
of hooks of workers register a function for all workers. Several of a kind run in the
order of their registration. docs/jobs.md has a table of what each gets, where it runs,
and what its outcome means. Each raises JobClassError for what cannot be a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from resqued.hooks.hook_kinds import register
from resqued.hooks.job_info import JobInfo

__all__ = [
    "after_dequeue",
    "after_enqueue",
    "after_fork",
    "after_pause",
    "after_perform",
    "after_schedule",
    "around_perform",
    "before_dequeue",
    "before_enqueue",
    "before_first_fork",
    "before_fork",
    "before_pause",
    "before_perform",
    "before_schedule",
    "on_failure",
    "queue_empty",
    "shutdown",
    "worker_exit",
]

V = TypeVar("V")
A = TypeVar("A", bound=Iterator[Any] | AbstractContextManager[Any])

E = TypeVar("E", bound=BaseException)


# Of jobs


def before_enqueue(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run before each enqueue, in the producer; False leaves the job out."""
    return register("before_enqueue", hook)


def after_enqueue(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run after each enqueue, in the producer."""
    return register("after_enqueue", hook)


def before_dequeue(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run before each dequeue, in the producer; False leaves the jobs there."""
    return register("before_dequeue", hook)


def after_dequeue(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run after each dequeue, in the producer."""
    return register("after_dequeue", hook)


def before_schedule(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run before a job begins to wait for a time, in the producer; False refuses."""
    return register("before_schedule", hook)


def after_schedule(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run when a job waits for a time, in the producer."""
    return register("after_schedule", hook)


def before_perform(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run before each job, in its child; DontPerform ends the job as a success."""
    return register("before_perform", hook)


def around_perform(hook: Callable[[JobInfo], A]) -> Callable[[JobInfo], A]:
    """Run each job at the yield of a generator, or within a context manager."""
    return register("around_perform", hook)


def after_perform(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run after each job that has not failed, in its child."""
    return register("after_perform", hook)


def on_failure(hook: Callable[[E, JobInfo], V]) -> Callable[[E, JobInfo], V]:
    """Run after each job that has failed, with its exception first."""
    return register("on_failure", hook)


# Of workers


def before_first_fork(hook: Callable[[], V]) -> Callable[[], V]:
    """Run when a worker starts, before it is registered."""
    return register("before_first_fork", hook)


def before_fork(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run for each job, first of all in the process that is forked for it.

    With such a hook, children are forked when their jobs are known, not ahead.
    """
    return register("before_fork", hook)


def after_fork(hook: Callable[[JobInfo], V]) -> Callable[[JobInfo], V]:
    """Run for each job, in the child that has received it."""
    return register("after_fork", hook)


def queue_empty(hook: Callable[[], V]) -> Callable[[], V]:
    """Run when a worker that has run jobs finds its queues empty."""
    return register("queue_empty", hook)


def before_pause(hook: Callable[[str], V]) -> Callable[[str], V]:
    """Run before a worker pauses; gets the id of the worker."""
    return register("before_pause", hook)


def after_pause(hook: Callable[[str], V]) -> Callable[[str], V]:
    """Run after a worker has resumed; gets the id of the worker."""
    return register("after_pause", hook)


def shutdown(hook: Callable[[], V]) -> Callable[[], V]:
    """Run when a worker is ordered to stop."""
    return register("shutdown", hook)


def worker_exit(hook: Callable[[], V]) -> Callable[[], V]:
    """Run when a worker has unregistered, before it exits."""
    return register("worker_exit", hook)
