from __future__ import annotations

import asyncio
import faulthandler
import random
import signal
import time
from collections.abc import Awaitable, Callable
from types import FrameType

import pytest

from resqued.hooks.interrupting import Interruption
from tests.support.forking import run_in_child
from tests.support.wait import scaled

ROUNDS = 150

Way = Callable[[], Awaitable[None]]


class Ended(SystemExit):
    pass


async def spin() -> None:
    while True:
        sum(range(20))
        await asyncio.sleep(0)


async def several() -> None:
    await asyncio.gather(spin(), spin())


async def groups() -> None:
    while True:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            group.create_task(asyncio.sleep(0.0001))


async def queues() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)

    async def put() -> None:
        while True:
            await queue.put(1)

    async def get() -> None:
        while True:
            await queue.get()

    await asyncio.gather(put(), get())


async def threads() -> None:
    loop = asyncio.get_running_loop()
    while True:
        await loop.run_in_executor(None, int)


async def call_back() -> None:
    loop = asyncio.get_running_loop()

    def again() -> None:
        sum(range(20))
        loop.call_soon(again)

    again()
    await asyncio.sleep(3600)


async def block() -> None:
    time.sleep(3600)


async def block_in_a_call_back() -> None:
    asyncio.get_running_loop().call_soon(time.sleep, 3600)
    await asyncio.sleep(3600)


def ended_at_random(
    way: Way, rounds: int, *, cancels: bool, end: str = "ended"
) -> Callable[[], None]:
    """Return what ends a loop so often; the process dies if it does not end."""

    def main() -> None:
        faulthandler.dump_traceback_later(scaled(60), exit=True)
        draw = random.Random(7)
        for _ in range(rounds):
            after = 0.001 + draw.random() / 250
            assert run_and_end(way, after, cancels=cancels) == ["cleaned", end]

    return main


def run_and_end(way: Way, after: float, *, cancels: bool) -> list[str]:
    """Run a loop that a signal ends after some seconds; return what came of it."""
    notes: list[str] = []
    interruption = Interruption()
    told: list[int] = []
    cancel: Callable[[], object] | None = None

    def handle(signum: int, _frame: FrameType | None) -> None:
        told.append(signum)
        if len(told) == 1:
            interruption.begin(Ended(), signum, cancel)
        else:
            interruption.insist()

    async def main() -> None:
        nonlocal cancel
        task = asyncio.current_task()
        cancel = task.cancel if cancels and task else None
        signal.setitimer(signal.ITIMER_REAL, after)
        try:
            await way()
        finally:
            notes.append("cleaned")

    signal.signal(signal.SIGALRM, handle)
    try:
        asyncio.run(main())
    except Ended:
        notes.append("ended")
    except asyncio.CancelledError:
        notes.append("cancelled")
    return notes


@pytest.mark.parametrize("way", [several, groups, queues, threads, call_back])
def test_a_loop_ends_wherever_it_is_interrupted(way: Way) -> None:
    run_in_child(ended_at_random(way, ROUNDS, cancels=False))


def test_a_coroutine_is_cancelled_wherever_it_is_interrupted() -> None:
    run_in_child(ended_at_random(several, ROUNDS, cancels=True, end="cancelled"))


@pytest.mark.parametrize("cancels", [False, True], ids=["raises", "cancels"])
@pytest.mark.parametrize("way", [block, block_in_a_call_back])
def test_a_step_that_blocks_is_interrupted(way: Way, cancels: bool) -> None:
    run_in_child(ended_at_random(way, 1, cancels=cancels))


def test_code_without_a_loop_is_interrupted_at_once() -> None:
    with pytest.raises(Ended) as caught:
        Interruption().begin(Ended(), signal.SIGTERM)
    assert caught.value.__context__ is None


def test_an_exception_is_raised_once() -> None:
    interruption = Interruption()
    interruption.insist()
    with pytest.raises(Ended):
        interruption.begin(Ended(), signal.SIGTERM)
    interruption.insist()
