"""What a job returns and has not run: it is run, or the job fails."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Generator
from typing import Any

import pytest

import resqued

ran: list[object] = []


class Query:
    """An object that can be awaited, as those of asynchronous ORMs."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(0).__await__()
        ran.append("query")


class Strange:
    """An object whose class cannot be asked for."""

    @property
    def __class__(self) -> type:
        raise RuntimeError("not even asked")


class Asked(type):
    """A class that answers for any name, and fails for some."""

    def __getattr__(cls, name: str) -> object:
        raise RuntimeError(f"asked for {name}")


class Proxy(metaclass=Asked):
    """An object of such a class, as mocks and lazy objects are."""


def job_that(returns: Callable[[], object]) -> type:
    """Return a class whose job returns what `returns` makes."""

    class Job:
        queue = "q"

        @staticmethod
        def perform() -> object:
            return returns()

    Job.__qualname__ = "Job"
    return Job


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def inline(returns: Callable[[], object]) -> None:
    resqued.Client(inline=True).enqueue(job_that(returns))


@pytest.mark.parametrize(
    "returns",
    [
        lambda: map(ran.append, ["x"]),
        lambda: itertools.starmap(ran.append, [("x",)]),
        lambda: (ran.append(x) for x in "x"),
    ],
    ids=["map", "starmap", "generator"],
)
def test_what_would_run_only_when_it_is_iterated_fails(
    returns: Callable[[], object],
) -> None:
    with pytest.raises(resqued.errors.JobClassError, match="of which nothing ran"):
        inline(returns)


def test_what_can_be_awaited_is_awaited() -> None:
    inline(Query)
    assert ran == ["query"]


@pytest.mark.parametrize("make", [Strange, Proxy, list, lambda: filter(None, [1])])
def test_any_other_result_is_dropped(make: Callable[[], object]) -> None:
    inline(make)


def test_the_error_of_a_coroutine_has_no_context_but_its_own() -> None:
    async def fail() -> None:
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason") as caught:
        inline(fail)
    assert caught.value.__context__ is None


def test_a_coroutine_runs_inline_within_a_loop() -> None:
    async def act() -> None:
        await asyncio.sleep(0)
        ran.append("acted")

    async def main() -> None:
        inline(act)

    asyncio.run(main())
    assert ran == ["acted"]


def test_the_error_of_a_coroutine_within_a_loop_reaches_the_caller() -> None:
    async def fail() -> None:
        raise ValueError("the reason")

    async def main() -> None:
        with pytest.raises(ValueError, match="the reason"):
            inline(fail)

    asyncio.run(main())
