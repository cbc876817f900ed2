from __future__ import annotations

import asyncio
import faulthandler
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
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


async def programs() -> None:
    while True:
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()


async def takes_long_to_clean_up() -> None:
    try:
        await spin()
    finally:
        await asyncio.sleep(0.7)


async def ends_well() -> None:
    with suppress(asyncio.CancelledError):
        await spin()


def interrupted_sleep() -> None:
    # Not before it sleeps: Python would run the handler when the sleep is over.
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    time.sleep(3600)


async def block() -> None:
    interrupted_sleep()


async def block_in_a_call_back() -> None:
    asyncio.get_running_loop().call_soon(interrupted_sleep)
    await asyncio.sleep(3600)


def ended_at_random(way: Way, rounds: int) -> Callable[[], None]:
    """Return what ends a loop so often; the process dies if it does not end."""

    def main() -> None:
        faulthandler.dump_traceback_later(scaled(60), exit=True)
        draw = random.Random(7)
        for _ in range(rounds):
            assert run_and_end(way, 0.001 + draw.random() / 250) == ["cleaned", "ended"]

    return main


def run_and_end(way: Way, after: float) -> list[str]:
    """Run a loop that a signal ends, and return what came of it.

    The signal comes after some seconds; 0 is for a way that asks for it itself.
    """
    notes: list[str] = []
    interruption = Interruption()
    told: list[int] = []

    def handle(signum: int, _frame: FrameType | None) -> None:
        told.append(signum)
        if len(told) == 1:
            interruption.begin(Ended(), signum)
        else:
            interruption.insist()

    async def main() -> None:
        try:
            signal.setitimer(signal.ITIMER_REAL, after)
            await way()
        finally:
            notes.append("cleaned")

    signal.signal(signal.SIGALRM, handle)
    try:
        asyncio.run(main())
    except Ended:
        notes.append("ended")
    return notes


@pytest.mark.parametrize("way", [several, groups, queues, threads, call_back])
def test_a_loop_ends_wherever_it_is_interrupted(way: Way) -> None:
    run_in_child(ended_at_random(way, ROUNDS))


def test_a_loop_ends_wherever_it_starts_programs() -> None:
    run_in_child(ended_at_random(programs, 30))


@pytest.mark.parametrize("way", [takes_long_to_clean_up, ends_well])
def test_what_is_cancelled_may_clean_up(way: Way) -> None:
    run_in_child(ended_at_random(way, 1))


@pytest.mark.parametrize("way", [block, block_in_a_call_back])
def test_a_step_that_blocks_is_interrupted(way: Way) -> None:
    def main() -> None:
        faulthandler.dump_traceback_later(scaled(60), exit=True)
        assert run_and_end(way, 0) == ["cleaned", "ended"]

    run_in_child(main)


def test_a_loop_that_runs_for_ever_is_left() -> None:
    def main() -> None:
        interruption = Interruption()
        loop = asyncio.new_event_loop()
        loop.call_soon(interruption.begin, Ended(), signal.SIGALRM)
        with pytest.raises(Ended):
            loop.run_forever()

    run_in_child(main)


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
