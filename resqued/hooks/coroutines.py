"""What a job returned and has not run yet: run to its end, or refused.

Runs in the child, which has no event loop of its own, and in a producer that runs jobs
inline.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from resqued.errors import JobClassError
from resqued.hooks.interrupting import running_loop

# Objects that call a function of the application only when they are iterated.
_LAZY = (GeneratorType, AsyncGeneratorType, map, itertools.starmap)


def refuse_generators(name: str, function: Callable[..., Any]) -> None:
    """Raise JobClassError for a function whose call runs nothing: a generator."""
    is_generator = inspect.isgeneratorfunction(function)
    if is_generator or inspect.isasyncgenfunction(function):
        raise JobClassError(
            f"{name} is a generator, whose call runs nothing: a job must be a function"
            " that returns, or async def without yield"
        )


def finish(result: object) -> None:
    """Run what a job returned, if that has not run yet.

    A coroutine, or another object that can be awaited, runs in an event loop of its
    own. Raises what the coroutine raises, and JobClassError for a generator or a `map`.
    """
    # Neither isinstance nor hasattr, which ask the object for its class and the class
    # for its attributes: that is code of the job.
    kind = type(result)
    if any("__await__" in vars(base) for base in type.mro(kind)):
        _run_to_end(_run(result))  # type: ignore[arg-type]
    elif issubclass(kind, _LAZY):
        name = getattr(result, "__name__", None)
        what = f"the generator {name}" if name else f"a {kind.__name__} object"
        raise JobClassError(f"the job returned {what}, of which nothing ran")


def _run_to_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine; in another thread if an event loop runs in this one."""
    if running_loop() is None:
        asyncio.run(coroutine)
        return
    # A job runs inline in a test, or in a program, that is asynchronous itself.
    raised: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,))
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


async def _run(job: Awaitable[Any]) -> None:
    await job
