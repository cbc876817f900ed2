"""Jobs that are written with `async def`: run to their end, and ended by cancellation.

Runs in the child, which has no event loop of its own.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from resqued.errors import JobClassError

Cancel = Callable[[], None]


def refuse_generators(name: str, function: Callable[..., Any]) -> None:
    """Raise JobClassError for a function whose call runs nothing: a generator."""
    is_generator = inspect.isgeneratorfunction(function)
    if is_generator or inspect.isasyncgenfunction(function):
        raise JobClassError(
            f"{name} is a generator, whose call runs nothing: a job must be a function"
            " that returns, or async def without yield"
        )


def finish(result: object, on_start: Callable[[Cancel], None] | None = None) -> None:
    """Run what a job returned, if that has not run yet.

    A coroutine runs in an event loop of its own. `on_start` is given what cancels it;
    that may be called in a signal handler. Raises what the coroutine raises, and
    JobClassError for a generator.
    """
    if inspect.iscoroutine(result):
        asyncio.run(_run(result, on_start))
    elif inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise JobClassError(
            f"the job returned the generator {result.__name__}, of which nothing ran"
        )


async def _run(
    job: Coroutine[Any, Any, Any], on_start: Callable[[Cancel], None] | None
) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None, "asyncio.run made it"
    if on_start is not None:

        def cancel() -> None:
            loop.call_soon_threadsafe(task.cancel)

        on_start(cancel)
    await job
