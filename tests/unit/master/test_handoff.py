"""What a master hands over: it arrives whole, and names its descriptors itself."""

from __future__ import annotations

import os

from msgspec.structs import replace

from resqued.config.loader import Config, PoolConfig
from resqued.config.settings import AppSettings
from resqued.core.backoff import Backoff
from resqued.core.generation_lifecycle import GenerationState
from resqued.core.limits import Limits, Rules
from resqued.core.pool_key import PoolKey
from resqued.core.supervised_worker import SupervisedState
from resqued.master import handoff
from resqued.master.handoff import (
    DescriptorList,
    GenerationRecord,
    HandoffState,
    PidFileRecord,
    PoolRecord,
    SlotRecord,
    WorkerRecord,
)

CONFIG = Config(
    pools=(
        PoolConfig("a,\udcff", 2, Limits(None, 5)),
        PoolConfig("b", 1, namespace="{mail}"),
    ),
    app=AppSettings(
        url="redis://localhost",
        modules=("a",),
        rules=Rules(Limits(2.5, 0), {"q": Limits(1.0, None)}, {"C": Limits()}),
    ),
    interval=5.0,
    log_level="info",
    log_format="json",
    log_events={"job_performed": "off"},
)
WORKER = WorkerRecord(
    state=SupervisedState.READY,
    spawned_at=0.1 + 0.2,
    generation=3,
    pool=PoolKey("a,\udcff", "resque"),
    limits=Limits(None, 5),
    pid=4711,
    worker_id="host:4711:a",
    identity="{}",
    is_idle=True,
    left_at=None,
    channel=11,
    scoreboard=12,
)


def state() -> HandoffState:
    keep = DescriptorList()
    generation = GenerationRecord(
        config=CONFIG,
        number=3,
        pid=4710,
        channel=keep.keep(10),
        is_ready=True,
        least_memory=1 << 30,
        started_at=1.25,
    )
    keep.keep(WORKER.channel), keep.keep(WORKER.scoreboard)
    backoff = replace(Backoff(first=0.1, cap=30.0), failures=2, ready_at=9.5)
    pool = PoolRecord(
        current=generation,
        last=4,
        state=GenerationState.SERVING,
        slots=[
            SlotRecord(PoolKey("a,\udcff", "resque"), backoff, WORKER, is_done=False)
        ],
        retiring=[],
        wanted=[(PoolKey("a,\udcff", "resque"), 2), (PoolKey("b", "{mail}"), 1)],
        is_paused=True,
        was_ready=True,
    )
    return HandoffState(
        pool=pool,
        control=keep.keep(5),
        asker=None,
        pid_file=PidFileRecord("/run/\udcff.pid", keep.keep(6)),
        descriptors=keep.numbers,
    )


def test_what_was_handed_over_is_what_arrives() -> None:
    assert handoff.read(handoff.write(state())) == state()


def test_descriptors_are_those_that_were_listed() -> None:
    assert state().descriptors == [10, 11, 12, 5, 6]


def test_a_number_that_is_no_descriptor_is_not_taken_for_one() -> None:
    """A setting may be called as a descriptor is, and stays a number."""
    odd = replace(CONFIG, app=replace(CONFIG.app, max_jobs=2, nice=1))
    current = GenerationRecord(odd, 3, None, None, False, 0, 0.0)
    pool = PoolRecord(
        current,
        3,
        GenerationState.BOOTING,
        [],
        [],
        [(PoolKey("channel", "a"), 2)],
        False,
        False,
    )
    empty = HandoffState(pool, None, None, None, DescriptorList().numbers)
    found = handoff.read(handoff.write(empty))
    assert isinstance(found, HandoffState)
    assert found.descriptors == []


def test_another_version_is_told_by_its_number() -> None:
    fd = os.memfd_create("other")
    os.write(fd, b'{"version":1,"pool":"unknown"}')
    os.lseek(fd, 0, os.SEEK_SET)
    assert handoff.read(fd) == 1
