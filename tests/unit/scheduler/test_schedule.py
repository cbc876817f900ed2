"""The ticks of recurring jobs, over changes of summer time too, and what is due."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resqued.scheduler.schedule import Schedule, due_time, judge, next_due, ticks_after

# Vienna: 02:00 becomes 03:00 on 2026-03-29, 03:00 becomes 02:00 on 2026-10-25.
SPRING = "2026-03-29"
AUTUMN = "2026-10-25"


def at(text: str) -> int:
    """Return a time of UTC in seconds since the epoch."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def cron(expression: str, zone: str = "Europe/Vienna", **more: object) -> Schedule:
    return Schedule("s", "Job", "q", cron=expression, zone=zone, **more)  # type: ignore[arg-type]


def every(seconds: float, **more: object) -> Schedule:
    return Schedule("s", "Job", "q", every=seconds, **more)  # type: ignore[arg-type]


def shown(schedule: Schedule, after: int, until: int) -> list[str]:
    """Return the ticks between two times, as times of UTC."""
    found = []
    for tick in ticks_after(schedule, after):
        if tick > until:
            return found
        found.append(datetime.fromtimestamp(tick, UTC).strftime("%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("expression", "after", "until", "ticks"),
    [
        # The skipped hour: a fixed time in it is made up for once, at its end.
        ("30 2 * * *", f"{SPRING} 00:00", "2026-03-30 12:00", ["29 01:00", "30 00:30"]),
        ("0 3 * * *", f"{SPRING} 00:00", "2026-03-30 12:00", ["29 01:00", "30 01:00"]),
        (
            "0 * * * *",
            f"{SPRING} 00:00",
            f"{SPRING} 03:00",
            ["29 01:00", "29 02:00", "29 03:00"],
        ),
        (
            "*/30 * * * *",
            f"{SPRING} 00:00",
            f"{SPRING} 01:30",
            ["29 00:30", "29 01:00", "29 01:30"],
        ),
        # The doubled hour: a fixed time in it once, every hour or minute as it passes.
        ("30 2 * * *", f"{AUTUMN} 00:00", "2026-10-26 12:00", ["25 00:30", "26 01:30"]),
        (
            "0 * * * *",
            f"{AUTUMN} 00:00",
            f"{AUTUMN} 03:00",
            ["25 01:00", "25 02:00", "25 03:00"],
        ),
        (
            "*/30 * * * *",
            f"{AUTUMN} 00:00",
            f"{AUTUMN} 01:30",
            ["25 00:30", "25 01:00", "25 01:30"],
        ),
        # From within the second of the two hours.
        ("30 2 * * *", f"{AUTUMN} 01:10", "2026-10-26 12:00", ["26 01:30"]),
        # Six fields: the seconds come first.
        ("0 30 12 * * *", f"{AUTUMN} 00:00", f"{AUTUMN} 23:00", ["25 11:30"]),
        (
            "0 30 2 * * *",
            f"{SPRING} 00:00",
            "2026-03-30 12:00",
            ["29 01:00", "30 00:30"],
        ),
        (
            "0 30 2 * * *",
            f"{AUTUMN} 00:00",
            "2026-10-26 12:00",
            ["25 00:30", "26 01:30"],
        ),
        (
            "0 0 * * * *",
            f"{AUTUMN} 00:00",
            f"{AUTUMN} 02:30",
            ["25 01:00", "25 02:00"],
        ),
    ],
)
def test_ticks_over_a_change_of_summer_time(
    expression: str, after: str, until: str, ticks: list[str]
) -> None:
    assert shown(cron(expression), at(after), at(until)) == ticks


@given(
    expression=st.sampled_from(
        [
            *("30 2 * * *", "0 * * * *", "*/7 * * * *", "0 3 * * 0", "15 1-3 * * *"),
            *("0 30 2 * * *", "0,30 15 1-3 * * *", "0 0 * * * *"),
        ]
    ),
    day=st.sampled_from([SPRING, AUTUMN]),
    start=st.integers(0, 6 * 3600),
)
def test_the_ticks_do_not_depend_on_where_one_begins(
    expression: str, day: str, start: int
) -> None:
    """Else a master that starts there would enqueue a tick that others do not know."""
    first = at(f"{day} 00:00") - 3600
    until = at(f"{day} 00:00") + 12 * 3600
    every_one = list(islice(ticks_after(cron(expression), first), 200))
    later = list(islice(ticks_after(cron(expression), first + start), 200))
    wanted = [tick for tick in every_one if first + start < tick <= until]
    assert [tick for tick in later if tick <= until] == wanted


@pytest.mark.parametrize("seconds", [1.0, 7.0, 600.0, 2.5])
def test_every_is_a_multiple_of_it(seconds: float) -> None:
    ticks = list(islice(ticks_after(every(seconds), 1_000_000), 5))
    assert ticks == sorted(set(ticks))
    assert all(abs(tick / seconds - round(tick / seconds)) < 0.5 for tick in ticks)
    assert ticks[0] > 1_000_000


def test_jitter_is_the_same_for_every_master_and_bounded() -> None:
    schedule = every(600, jitter=60)
    delays = {due_time(schedule, t) - t for t in islice(ticks_after(schedule, 0), 300)}
    assert min(delays) >= 0
    assert max(delays) <= 60
    assert len(delays) > 30
    assert due_time(schedule, 600) == due_time(every(600, jitter=60), 600)


NOON = at("2026-06-01 12:00")


@pytest.mark.parametrize(
    ("schedule", "last", "now", "ticks", "new"),
    [
        # Nothing is due.
        (every(600), NOON, NOON + 599, (), NOON),
        # On time.
        (every(600), NOON, NOON + 600, (NOON + 600,), NOON + 600),
        # Missed: the last one, in both ways, or all.
        (every(600), NOON, NOON + 6_000, (NOON + 6_000,), NOON + 6_000),
        (every(600), NOON, NOON + 6_100, (NOON + 6_000,), NOON + 6_000),
        (every(600, missed="skip"), NOON, NOON + 6_100, (), NOON + 6_000),
        (
            every(600, missed="skip"),
            NOON,
            NOON + 6_030,
            (NOON + 6_000,),
            NOON + 6_000,
        ),
        (
            every(600, missed="all"),
            NOON,
            NOON + 1_900,
            (NOON + 600, NOON + 1_200, NOON + 1_800),
            NOON + 1_800,
        ),
        # A clock that was set back: by a little, and after it had been wrong.
        (every(600), NOON, NOON - 9_000, (), NOON),
        (every(600), NOON, NOON - 10_801, (), NOON - 10_801),
        (every(1, missed="all"), NOON, NOON - 90_000, (), NOON - 90_000),
        (cron("0 3 * * *", "UTC"), 10**23, NOON, (), NOON),
        # Once a year, a year late.
        (
            cron("0 0 1 1 *", "UTC"),
            at("2024-06-01 00:00"),
            at("2026-06-01 00:00"),
            (at("2026-01-01 00:00"),),
            at("2026-01-01 00:00"),
        ),
        # Each second, for a year.
        (
            cron("* * * * * *", "UTC"),
            NOON - 365 * 86_400,
            NOON,
            (NOON,),
            NOON,
        ),
        # On the 29th of February, a day that a century may lack.
        (
            cron("0 0 29 2 *", "UTC"),
            at("2012-03-01 00:00"),
            at("2026-06-01 00:00"),
            (at("2024-02-29 00:00"),),
            at("2024-02-29 00:00"),
        ),
    ],
)
def test_what_is_due(
    schedule: Schedule, last: int, now: int, ticks: tuple[int, ...], new: int
) -> None:
    assert judge(schedule, last, now) == (ticks, new)


def test_all_missed_ticks_come_in_steps() -> None:
    schedule = every(1, missed="all")
    ticks, new = judge(schedule, NOON, NOON + 1_000)
    assert (len(ticks), ticks[0], new) == (100, NOON + 1, NOON + 100)


def test_the_next_time() -> None:
    assert next_due(every(600), NOON) == NOON + 600
    assert next_due(cron("0 3 * * *", "UTC"), NOON) == at("2026-06-02 03:00")
