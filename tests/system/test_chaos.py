"""Each fault of `make chaos`, once, on eight busy workers; and some more troubles."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import redis as redis_py

import resqued
from bench.chaos.__main__ import main, table
from bench.chaos.account import Books
from bench.chaos.fault import Fault, Result, attempt
from bench.chaos.faults import FAULTS
from bench.chaos.site import Slowest, traceback_in
from tests.support.pool import count, failures, left_over, pool, runs
from tests.support.wait import wait_until

IMPORTING = """
import pathlib, time
pathlib.Path("importing").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""
DRAWING = """
import random, secrets, uuid
import resqued
from tests.support.jobs import note

@resqued.job(queue="default", name="Draw")
def draw():
    note("runs", (random.random(), secrets.token_hex(8), uuid.uuid4().hex))
"""


# What a server does, rather than the network or a process of ours.
OF_THE_SERVER = (
    *("flush-scripts", "restart-server", "out-of-memory", "readonly"),
    *("sentinel-failover", "cluster-failover", "slot-migration"),
)


def named(*, are_of_the_server: bool) -> pytest.MarkDecorator:
    """Give a test each fault of one kind."""
    chosen = [f for f in FAULTS if (f.name in OF_THE_SERVER) is are_of_the_server]
    return pytest.mark.parametrize("fault", chosen, ids=[f.name for f in chosen])


def assert_nothing_is_lost_or_doubled(fault: Fault, binary: Path | None) -> None:
    result = attempt(fault, 1, binary)
    if result.skipped:
        pytest.skip(result.skipped)
    assert not result.problems, "\n".join(result.problems)
    assert result.books is not None
    assert result.books.lost() == []
    assert result.books.doubled() == []


@named(are_of_the_server=False)
def test_a_fault_under_load_loses_nothing_and_doubles_nothing(
    fault: Fault, server_binary: Path | None
) -> None:
    assert_nothing_is_lost_or_doubled(fault, server_binary)


@pytest.mark.server_semantics
@named(are_of_the_server=True)
def test_a_fault_of_the_server_loses_nothing_and_doubles_nothing(
    fault: Fault, server_binary: Path | None
) -> None:
    assert_nothing_is_lost_or_doubled(fault, server_binary)


def test_an_idle_worker_that_hangs_is_replaced(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    config = "[worker]\nheartbeat = '300ms'\n"
    with pool(redis_url, tmp_path, config=config) as running:
        running.wait_for_event("master_ready")
        (worker,) = running.workers()
        os.kill(worker, signal.SIGSTOP)
        running.wait_for_event("worker_died", deadline=90)
        resqued.Client(redis_url).enqueue_to("default", "Run", 1)
        wait_until(lambda: runs(redis)["1"], what="the job to run")
        assert worker not in running.workers()
    assert left_over(redis) == set()


def test_a_zygote_whose_master_dies_while_it_imports_leaves_quietly(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "slow.py").write_text(IMPORTING)
    # Leaving the context fails for a traceback in the log.
    with pool(redis_url, tmp_path, "-a", "slow") as running:
        wait_until((tmp_path / "importing").exists, what="the import to begin")
        running.signal(signal.SIGKILL)
        running.wait()
        (tmp_path / "go").touch()


def test_random_numbers_differ_from_job_to_job(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    (tmp_path / "drawing.py").write_text(DRAWING)
    draws = 20
    resqued.Client(redis_url).enqueue_many(
        ([] for _ in range(draws)), job="Draw", queue="default"
    )
    with pool(redis_url, tmp_path, "--burst", "-a", "drawing", workers=2) as running:
        assert running.wait() == 0
    drawn = [eval(text) for text in runs(redis)]
    assert len(drawn) == draws
    for each in zip(*drawn, strict=True):
        assert len(set(each)) == draws


@pytest.mark.parametrize("name", ["FillPipe", "GarblePipe"])
def test_a_job_that_writes_into_the_pipe_of_its_outcome_fails_alone(
    name: str, redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    client = resqued.Client(redis_url)
    with pool(
        redis_url,
        tmp_path,
        *("-a", "bench.chaos.jobs"),
        config="[worker]\nexit_grace = '500ms'\n",
        env={"CHAOS_WITNESS_URL": redis_url},
    ) as running:
        client.enqueue_to("default", name, 1)
        client.enqueue_to("default", "Run", 2)
        wait_until(lambda: runs(redis)["2"], what="the next job")
        assert running.events("worker_died") == []
        wait_until(lambda: count(redis, "processed") == 2, what="both to be counted")
    (entry,) = failures(redis)
    assert entry["exception"] == "Resque::DirtyExit"
    assert "the pipe" in entry["error"]


@pytest.mark.alone("it has an upper bound of time")
def test_a_message_of_many_megabytes_keeps_nobody_waiting(
    redis_url: str, redis: redis_py.Redis, tmp_path: Path
) -> None:
    with pool(
        redis_url,
        tmp_path,
        *("-a", "bench.chaos.jobs"),
        env={"CHAOS_WITNESS_URL": redis_url},
    ) as running:
        running.wait_for_event("master_ready")
        resqued.Client(redis_url).enqueue_to("default", "Verbose", 1)
        # Four million letters; read again from the start with each piece they took
        # half a minute and more.
        wait_until(lambda: count(redis, "failed"), what="the entry", deadline=15)
    (entry,) = failures(redis)
    assert entry["exception"] == "ValueError"


GOOD = Books(
    numbers=3,
    rubbish=1,
    started={0: 1, 1: 1},
    ended={0: 1},
    failed={1: 1},
    nameless=1,
    queued={2: 1},
    processed=3,
    failures=2,
)


def changed(**values: object) -> Books:
    return Books(**{**{n: getattr(GOOD, n) for n in GOOD.__slots__}, **values})


def test_books_that_balance() -> None:
    assert GOOD.lost() == GOOD.doubled() == GOOD.contradictions() == []
    assert (GOOD.at_stake, GOOD.entries) == (4, 2)


@pytest.mark.parametrize(
    ("books", "told"),
    [
        (changed(queued={}), "job 2 is nowhere"),
        (changed(failed={}), "job 1 began, and has no end"),
        (changed(nameless=0), "rubbish without an entry"),
        (changed(processed=2), "a run that was not recorded"),
    ],
)
def test_what_is_lost_is_told(books: Books, told: str) -> None:
    assert told in books.lost()


@pytest.mark.parametrize(
    ("books", "told"),
    [
        (changed(started={0: 2, 1: 1}), "job 0 began 2 times"),
        (changed(failed={1: 2}), "job 1 has 2 entries"),
        (changed(queued={0: 1, 2: 1}), "job 0 is queued and has run"),
        (changed(nameless=2), "an entry for no rubbish"),
        (changed(processed=4), "a run that was recorded again"),
    ],
)
def test_what_is_doubled_is_told(books: Books, told: str) -> None:
    assert told in books.doubled()


@pytest.mark.parametrize(
    "books",
    [
        changed(queued={}, unsure={2}, processed=3),
        changed(queued={}, unreplicated={2}, processed=3),
        changed(processed=2, severed={0}),
        changed(started={0: 2, 1: 1}, severed={0}),
        changed(queued={0: 1, 2: 1}, processed=2, severed={0}),
    ],
)
def test_what_replication_loses_is_counted_apart(books: Books) -> None:
    assert books.lost() == books.doubled() == []


def test_what_replication_loses_is_counted() -> None:
    gone = changed(queued={}, unreplicated={0, 2}, processed=2, severed={0})
    # Job 0 has run, so that it was not lost, but one record was.
    assert gone.lost_by_replication() == 2
    assert changed(started={0: 2, 1: 2}, severed={0}).repeated_by_replication() == 1


def test_counters_that_contradict_the_lists_are_told() -> None:
    assert changed(failures=1).contradictions() == [
        "1 failures counted, 2 entries",
        "2 successes counted, 1 jobs ended",
    ]


def test_the_table_has_a_row_for_each_fault() -> None:
    fault = FAULTS[0]
    tried = Result(fault, 7, GOOD, Slowest(0.5, 1.25), ())
    text = table([tried, Result(fault, 0, None, Slowest(), (), "needs root")])
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    assert len(cells) == 4
    assert cells[2][1:-1] == [
        *(fault.name, "7", "4", "2", "0", "0", "0.50 s", "1.25 s")
    ]
    assert cells[3][1:3] == [fault.name, "0"]


SWALLOWED = """\
Exception ignored in: <function Parser.__del__ at 0x7f>
Traceback (most recent call last):
  File "child.py", line 105, in __call__
{"event": "job_performed"}
resqued.errors.JobTerminated: SIGTERM
"""


def test_only_what_python_itself_has_dropped_is_no_traceback() -> None:
    assert traceback_in(SWALLOWED + SWALLOWED) == ""
    ours = "Traceback (most recent call last):\nChannelClosed\n"
    assert traceback_in(SWALLOWED + ours) == ours
    assert traceback_in(ours + SWALLOWED) == ours


def test_a_fault_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "kill-cat"])
    assert ended.value.code == 2
