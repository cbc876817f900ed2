"""Which masters listen: the table of one master, and fleets with lost calls."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from resqued.core.listening import (
    MOST_CALLS,
    OUTCOME_LIMIT,
    SPARE_DELAY,
    WAKE_GRACE,
    Listening,
    Role,
)

INTERVAL = 5.0
# Of a master whose part of all workers is small.
SMALL = 0.001


def waiting() -> Listening:
    """A master in a line of several."""
    made = Listening()
    made.is_idle(0.0, INTERVAL, SMALL, 0.5)
    assert made.joins_line
    made.joined(3, 0.0)
    assert (made.role, made.in_line, made.joins_line) == (Role.WAITING, True, False)
    return made


def first() -> Listening:
    made = waiting()
    assert made.called(1.0)
    assert (made.role, made.look_at) == (Role.FIRST, 1.0)
    return made


def asking() -> Listening:
    made = first()
    assert made.heard(1.0, 0.5)
    assert made.woke(1.0, 0, SMALL) == 0
    assert (made.role, made.look_at) == (Role.ASKING, 1.0 + WAKE_GRACE)
    return made


def test_a_master_that_is_alone_listens_and_joins_no_line() -> None:
    alone = Listening()
    alone.is_idle(0.0, INTERVAL, 1.0, 0.99)
    assert (alone.role, alone.look_at, alone.joins_line) == (Role.FIRST, 0.0, False)
    assert alone.is_due(0.0, INTERVAL, 1.0, 0.99)
    assert alone.heard(1.0, 0.5)
    assert alone.woke(1.0, 0, 1.0) == 0
    assert (alone.role, alone.look_at) == (Role.FIRST, 1.0 + WAKE_GRACE)


def test_the_first_in_the_line_listens() -> None:
    only = Listening()
    only.is_idle(0.0, INTERVAL, SMALL, 0.5)
    only.joined(1, 0.0)
    assert only.role is Role.FIRST


def test_one_that_waits_is_sent_nothing_and_looks_once_an_interval() -> None:
    made = waiting()
    assert not made.heard(0.0, 0.5)
    assert not made.is_due(0.0, INTERVAL, SMALL, 0.5)
    assert made.is_due(INTERVAL, INTERVAL, SMALL, 0.5)
    assert made.role is Role.WAITING
    assert made.look_at <= 2.1 * INTERVAL


def test_a_lot_makes_a_spare_which_looks_a_little_later() -> None:
    made = waiting()
    assert made.is_due(INTERVAL, INTERVAL, SMALL, 0.0)
    assert made.role is Role.SPARE
    assert not made.heard(5.0, 0.5)
    assert made.look_at == 5.0 + SPARE_DELAY * 1.5


def test_one_of_many_that_wait_leaves_a_job_that_it_sees_to_others_at_first() -> None:
    made = waiting()
    assert made.is_due(INTERVAL, INTERVAL, SMALL, 0.5)
    assert not made.saw_jobs(5.0, SMALL, 0.5)
    assert made.look_at == 5.0 + SPARE_DELAY * 1.5
    # It is there still.
    assert made.saw_jobs(made.look_at, SMALL, 0.5)
    # Or another one was faster; the next is seen for the first time.
    assert not made.saw_jobs(8.0, SMALL, 0.5)
    made.saw_nothing(8.1, SMALL, 0.5)
    assert not made.saw_jobs(9.0, SMALL, 0.5)


def test_who_looks_because_a_worker_became_idle_takes_the_job_that_it_sees() -> None:
    made = waiting()
    made.look_soon(5.0)
    assert made.saw_jobs(5.0, SMALL, 0.5)


def test_one_of_few_that_wait_takes_the_job_that_it_sees() -> None:
    assert waiting().saw_jobs(5.0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("taken", "settled", "after", "calls", "role"),
    [
        pytest.param(True, True, 0.0, 1, Role.AWAY, id="took a job"),
        pytest.param(True, False, 0.0, 1, Role.AWAY, id="one of two took a job"),
        pytest.param(False, True, 0.0, 0, Role.SPARE, id="found nothing"),
        pytest.param(False, False, 0.0, 0, Role.ASKING, id="not known yet"),
        pytest.param(False, False, OUTCOME_LIMIT, 1, Role.AWAY, id="too late"),
    ],
)
def test_who_took_a_job_calls_the_next(
    *, taken: bool, settled: bool, after: float, calls: int, role: Role
) -> None:
    made = asking()
    assert made.learned(1.0 + after, taken=taken, is_settled=settled) == calls
    assert made.role is role


@pytest.mark.parametrize("excess", [1, 2, 1000])
def test_who_sees_more_jobs_than_it_takes_calls_at_once(excess: int) -> None:
    assert first().woke(1.0, excess, SMALL) == min(excess, MOST_CALLS)


def test_a_call_is_never_dropped() -> None:
    # The worker has left, or was woken for another reason.
    assert first().is_busy(SMALL) == 1
    # One that is alone has nobody to call.
    assert first().is_busy(1.0) == 0
    assert first().leave() == 1
    assert asking().leave() == 1
    gone = waiting()
    assert gone.is_busy(SMALL) == 0
    assert not gone.called(1.0), "the call is for the next in the line"
    # Nobody is in the line: this master continues.
    made = asking()
    assert made.learned(1.0, taken=True, is_settled=True) == 1
    made.answered(0, 1.0, is_any_idle=True)
    assert made.role is Role.FIRST


def spare() -> Listening:
    made = waiting()
    assert made.is_due(INTERVAL, INTERVAL, SMALL, 0.0)
    assert made.role is Role.SPARE
    return made


@pytest.mark.parametrize("make", [first, spare, asking])
def test_who_listens_takes_the_job_that_it_sees(make: Callable[[], Listening]) -> None:
    assert make().saw_jobs(5.0, SMALL, 0.5)


@pytest.mark.parametrize(
    ("make", "at"),
    [
        pytest.param(first, 6.0, id="listens: at the next turn"),
        pytest.param(spare, 6.0, id="listens after others: at the next turn"),
        pytest.param(waiting, 6.0, id="is sent nothing: at the next turn"),
        pytest.param(asking, 1.0 + WAKE_GRACE, id="asks: after the outcome"),
    ],
)
def test_a_worker_that_became_idle_has_the_master_look(
    make: Callable[[], Listening], at: float
) -> None:
    made = make()
    role = made.role
    made.look_soon(6.0)
    assert (made.role, made.look_at) == (role, at)


@pytest.mark.parametrize(
    ("make", "wanted", "at"),
    [
        pytest.param(spare, 5.0, 5.0 + SPARE_DELAY, id="a spare leaves it to others"),
        pytest.param(spare, 6.0, 6.0, id="a spare is late enough"),
        pytest.param(spare, 500.0, 5.0 + INTERVAL * 0.9, id="never after the interval"),
        pytest.param(first, 0.5, 0.5, id="the first does not wait"),
        pytest.param(first, 6.0, 1.0, id="a look that is due sooner stays"),
    ],
)
def test_a_look_that_did_not_see_everything_is_followed_by_another(
    make: Callable[[], Listening], wanted: float, at: float
) -> None:
    made = make()
    made.look_again(5.0, wanted)
    assert made.look_at == pytest.approx(at)


@dataclass(eq=False)
class _Master:
    workers: int
    idle: int = field(init=False)
    listening: Listening = field(default_factory=Listening)
    is_tracked: bool = False
    is_alive: bool = True
    woken: int = 0
    took: bool = False
    # Until then its process is stopped, and what it is sent waits.
    thaws_at: float = 0.0

    def __post_init__(self) -> None:
        self.idle = self.workers


class _Fleet:
    """Masters of one queue list, the queue and the line, in time of their own."""

    def __init__(self, seed: int, masters: int) -> None:
        self.dice = random.Random(seed)
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.number = 0
        self.queue: deque[float] = deque()
        self.line: deque[_Master] = deque()
        self.waits: list[float] = []
        self.looks = self.reserves = self.calls = 0
        self.masters = [_Master(self.dice.randint(1, 3)) for _ in range(masters)]
        self.workers = sum(master.workers for master in self.masters)
        for master in self.masters:
            self.after(self.dice.random(), lambda master=master: self.turn(master))

    def after(self, seconds: float, step: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (self.now + seconds, self.number, step))

    def trip(self) -> float:
        return self.dice.uniform(0.0001, 0.002)

    def run(self, until: float) -> None:
        while self.events and self.events[0][0] <= until:
            self.now, _, step = heapq.heappop(self.events)
            step()
        self.now = until

    def push(self) -> None:
        was_empty = not self.queue
        self.queue.append(self.now)
        if was_empty:
            for master in self.masters:
                if master.is_tracked:
                    master.is_tracked = False
                    self.after(self.trip(), lambda master=master: self.hear(master))

    def is_frozen(self, master: _Master, step: Callable[[_Master], None]) -> bool:
        """Return True if a master is stopped, which does this step later."""
        is_frozen = self.now < master.thaws_at
        if is_frozen:
            self.after(master.thaws_at - self.now, lambda: step(master))
        return is_frozen

    def hear(self, master: _Master) -> None:
        if self.is_frozen(master, self.hear):
            return
        listens = master.listening.heard(self.now, self.dice.random())
        if master.is_alive and listens and master.idle:
            self.wake(master, 1)
        self.turn(master)

    def share(self, master: _Master) -> float:
        return master.workers / self.workers

    def turn(self, master: _Master) -> None:
        """Do what a master does at a turn of its loop, and come back when it is due."""
        if not master.is_alive or self.is_frozen(master, self.turn):
            return
        each, share = master.listening, self.share(master)
        if master.idle:
            each.is_idle(self.now, INTERVAL, share, self.dice.random())
        else:
            self.call(master, each.is_busy(share))
        if each.role is Role.ASKING and self.now >= each.look_at:
            settled = not master.woken
            calls = each.learned(self.now, taken=master.took, is_settled=settled)
            self.call(master, calls)
            if master.idle:
                each.is_idle(self.now, INTERVAL, share, self.dice.random())
        if each.is_due(self.now, INTERVAL, share, self.dice.random()):
            self.looks += 1
            master.is_tracked |= each.listens
            if not self.queue:
                each.saw_nothing(self.now, share, self.dice.random())
            elif each.saw_jobs(self.now, share, self.dice.random()) and master.idle:
                self.wake(master, len(self.queue))
        if each.joins_line:
            self.line.append(master)
            each.joined(len(self.line), self.now)
        if each.look_at < 1e9:
            self.after(
                max(0.0, each.look_at - self.now) + 1e-6, lambda: self.turn(master)
            )

    def wake(self, master: _Master, jobs: int) -> None:
        woken = min(jobs, master.idle)
        master.idle -= woken
        master.woken, master.took = master.woken + woken, False
        for _ in range(woken):
            self.after(self.trip(), lambda: self.reserve(master, is_woken=True))
        calls = master.listening.woke(self.now, jobs - woken, self.share(master))
        self.call(master, calls)

    def reserve(self, master: _Master, *, is_woken: bool) -> None:
        if not master.is_alive:
            return
        self.reserves += 1
        master.woken -= is_woken
        if self.queue:
            self.waits.append(self.now - self.queue.popleft())
            master.took = True
            spent = self.dice.expovariate(50)
            self.after(spent, lambda: self.reserve(master, is_woken=False))
        else:
            master.idle += 1
            self.after(0, lambda: self.turn(master))

    def call(self, master: _Master, count: int) -> None:
        if not count:
            return
        reached = 0
        self.calls += 1
        while self.line and reached < count:
            called = self.line.popleft()
            if called.is_alive:
                reached += 1
                self.after(self.trip(), lambda called=called: self.receive(called))
        master.listening.answered(reached, self.now, is_any_idle=bool(master.idle))

    def receive(self, master: _Master) -> None:
        if self.is_frozen(master, self.receive):
            return
        if master.is_alive and not master.listening.called(self.now):
            self.call(master, 1)
        self.turn(master)

    def kill(self, master: _Master) -> None:
        master.is_alive = False
        master.is_tracked = False


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("masters", [1, 2, 3, 10, 60])
def test_no_job_waits_longer_than_an_interval(seed: int, masters: int) -> None:
    fleet = _Fleet(seed, masters)
    fleet.run(until=2 * INTERVAL)
    for _ in range(300):
        fleet.run(fleet.now + fleet.dice.expovariate(5))
        fleet.push()
        if fleet.dice.random() < 0.1 and fleet.queue:
            fleet.queue.popleft()  # another program was faster
        alive = [master for master in fleet.masters if master.is_alive]
        if fleet.dice.random() < 0.05 and len(alive) > max(1, masters // 2):
            fleet.kill(fleet.dice.choice(alive))
    fleet.run(fleet.now + 2 * INTERVAL)
    assert not fleet.queue
    # A job may wait for an interval and its spread, and for those before it.
    assert max(fleet.waits) < INTERVAL * 1.1 + 1.0
    # Nearly all start at once all the same.
    waits = sorted(fleet.waits)
    assert waits[len(waits) // 2] < 0.010


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("masters", [2, 3, 20])
def test_no_job_waits_longer_for_masters_that_are_frozen(
    seed: int, masters: int
) -> None:
    """As a machine is that moves to another: the calls that it is sent come late."""
    fleet = _Fleet(seed, masters)
    fleet.run(until=2 * INTERVAL)
    for _ in range(200):
        fleet.run(fleet.now + fleet.dice.expovariate(5))
        awake = [each for each in fleet.masters if fleet.now >= each.thaws_at]
        listeners = [each for each in awake if each.listening.listens]
        if listeners and len(awake) > 1 and fleet.dice.random() < 0.1:
            stopped = fleet.dice.choice(listeners)
            stopped.thaws_at = fleet.now + fleet.dice.uniform(1, 4 * INTERVAL)
        fleet.push()
    fleet.run(fleet.now + 5 * INTERVAL)
    assert not fleet.queue
    assert max(fleet.waits) < INTERVAL * 1.1 + 1.0


@pytest.mark.parametrize("masters", [1, 10, 100, 1000])
def test_a_job_costs_the_same_in_a_fleet_of_any_size(masters: int) -> None:
    fleet = _Fleet(7, masters)
    fleet.run(until=4 * INTERVAL)
    looks, begin = fleet.looks, fleet.now
    for _ in range(200):
        fleet.run(fleet.now + 0.05)
        fleet.push()
    fleet.run(fleet.now + 1.0)
    intervals = masters * (fleet.now - begin) / (0.9 * INTERVAL)
    assert fleet.reserves <= 200 * 3.2, "one takes the job and asks again, one is late"
    assert fleet.looks - looks - intervals <= 200 * 6
    assert fleet.calls <= 200 * 2


@pytest.mark.parametrize("masters", [40, 1000])
def test_a_burst_reaches_every_master_in_a_few_steps(masters: int) -> None:
    fleet = _Fleet(3, masters)
    fleet.run(until=4 * INTERVAL)
    for _ in range(fleet.workers):
        fleet.push()
    begin = fleet.now
    while fleet.queue:
        fleet.run(fleet.now + 0.001)
    # Each step is a call, a look, and a wake: less than 10 ms here.
    assert fleet.now - begin < 0.010 * (masters.bit_length() + 2)
