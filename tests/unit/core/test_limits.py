"""Limits of a job: whose count, whether one is exceeded, how they are written."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from itertools import pairwise, product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import convert, to_builtins

import resqued
from resqued.core.limits import (
    LATEST,
    NO_LIMITS,
    RATE,
    SOONEST,
    UNSET,
    Cause,
    Limits,
    Rules,
    is_excessive,
    judge,
    look_again,
)
from resqued.jobs import declare as jobs_declare
from resqued.jobs import lookup
from resqued.jobs.declare import Job, least_memory
from resqued.jobs.lookup import resolve
from resqued.wire import payload
from resqued.wire.naming import limits_of, payload_limits

MB = 1 << 20

seconds = st.floats(0, 1e9)
sizes = st.integers(0, 1 << 50)
some_limits = st.builds(Limits, st.none() | seconds, st.none() | sizes)
names = st.text(max_size=4)
some_rules = st.builds(
    Rules,
    some_limits,
    st.dictionaries(names, some_limits, max_size=3),
    st.dictionaries(names, some_limits, max_size=3),
)


# Which are in force

LEVELS = ("payload", "class", "code", "queue", "pool", "default")


def in_force(given_at: dict[str, Limits]) -> Limits:
    """Return the limits of a job of class A on queue q, from those of each level."""
    at = {level: given_at.get(level, UNSET) for level in LEVELS}
    rules = Rules(at["default"], {"q": at["queue"]}, {"A": at["class"]})
    of_pool = rules.for_pool(at["pool"])
    return of_pool.of("q", "A", declared=at["code"], asked=at["payload"])


@pytest.mark.parametrize(("narrower", "wider"), list(pairwise(LEVELS)))
def test_what_is_more_specific_wins(narrower, wider):
    given_at = {narrower: Limits(1.0, 10), wider: Limits(2.0, 20)}
    assert in_force(given_at) == Limits(1.0, 10)
    assert in_force({wider: Limits(2.0, 20)}) == Limits(2.0, 20)


def test_of_all_levels_the_first_that_says_something_counts_for_each_limit():
    # Each level says nothing, that there is no limit, or a limit of its own.
    for said in product((None, 0, 1), repeat=len(LEVELS)):
        runtimes = [v and v * float(n) for n, v in enumerate(said, start=1)]
        # The other way round, so that no two levels say the same of both.
        memories = [v and v * n for n, v in enumerate(reversed(said), start=1)]
        pairs = map(Limits, runtimes, memories)
        found = in_force(dict(zip(LEVELS, pairs, strict=True)))
        assert found == Limits(
            next((v for v in runtimes if v is not None), None),
            next((v for v in memories if v is not None), None),
        )


def test_no_limit_on_one_job_undoes_the_limit_on_all():
    given_at = {"default": Limits(900.0, 512 * MB), "class": Limits(0.0, None)}
    assert in_force(given_at) == Limits(0.0, 512 * MB)


def test_limits_of_other_classes_and_queues_say_nothing():
    rules = Rules(Limits(9.0), {"q": Limits(1.0)}, {"A": Limits(2.0)})
    assert rules.of("A", "q") == Limits(9.0)
    assert rules.of("Q", "a") == Limits(9.0)


def test_nothing_configured_limits_nothing():
    limits = Rules().of("q", "A")
    assert judge(limits, elapsed=1e9, memory=1 << 60) is None
    assert not limits.runtime
    assert not limits.memory


@given(some_rules, some_limits)
def test_a_pool_has_its_own_default_and_the_narrower_rules_of_all(rules, pool):
    for_pool = rules.for_pool(pool)
    assert for_pool.default == pool.with_fallback(rules.default)
    assert (for_pool.queues, for_pool.classes) == (rules.queues, rules.classes)


@given(some_limits, some_limits, some_limits)
def test_limits_fall_back_in_one_order_however_they_are_joined(first, second, third):
    assert first.with_fallback(second.with_fallback(third)) == first.with_fallback(
        second
    ).with_fallback(third)
    assert first.with_fallback(UNSET) == UNSET.with_fallback(first) == first


def test_the_limits_of_memory_are_those_that_limit():
    rules = Rules(NO_LIMITS, {"low": Limits(1.0, 5 * MB)}, {"Big": Limits(1.0, 0)})
    assert rules.memory == [5 * MB]
    assert Rules().memory == []


@given(some_rules)
def test_rules_survive_the_way_to_a_zygote(rules):
    assert convert(json.loads(json.dumps(to_builtins(rules))), Rules) == rules


# Whether one is exceeded


@pytest.mark.parametrize(
    ("limits", "elapsed", "memory", "cause"),
    [
        (UNSET, 1e9, 1 << 60, None),
        (Limits(0.0, 0), 1e9, 1 << 60, None),
        (Limits(10.0), 9.999, 1 << 60, None),
        (Limits(10.0), 10.0, 0, Cause.RUNTIME),
        (Limits(10.0), 11.0, 0, Cause.RUNTIME),
        (Limits(None, 100), 1e9, 100, None),
        (Limits(None, 100), 0.0, 101, Cause.MEMORY),
        (Limits(10.0, 100), 9.0, 100, None),
        (Limits(10.0, 100), 10.0, 100, Cause.RUNTIME),
        (Limits(10.0, 100), 10.0, 101, Cause.MEMORY),
    ],
)
def test_which_limit_is_exceeded(limits, elapsed, memory, cause):
    assert judge(limits, elapsed=elapsed, memory=memory) is cause


@given(some_limits, seconds, sizes, seconds, sizes)
def test_who_runs_longer_and_uses_more_is_never_judged_more_mildly(
    limits, elapsed, memory, later, more
):
    before = judge(limits, elapsed=elapsed, memory=memory)
    after = judge(limits, elapsed=elapsed + later, memory=memory + more)
    assert (after or Cause.ORDER) >= (before or Cause.ORDER)


@given(some_limits, seconds, sizes)
def test_no_limit_and_nothing_said_are_judged_alike(limits, elapsed, memory):
    unsaid = Limits(limits.runtime or None, limits.memory or None)
    assert judge(limits, elapsed=elapsed, memory=memory) is judge(
        unsaid, elapsed=elapsed, memory=memory
    )


@pytest.mark.parametrize(
    ("limit", "memory", "expected"),
    [
        (None, 1 << 60, False),
        (0, 1 << 60, False),
        (100, 100, False),
        (100, 125, False),
        (100, 126, True),
    ],
)
def test_a_quarter_above_its_memory_a_job_gets_no_grace(limit, memory, expected):
    assert is_excessive(Limits(None, limit), memory) is expected


@given(some_limits, seconds, sizes)
def test_what_is_excessive_is_beyond_the_limit(limits, elapsed, memory):
    if is_excessive(limits, memory):
        assert judge(limits, elapsed=elapsed, memory=memory) is Cause.MEMORY


# When to look again


@pytest.mark.parametrize(
    ("limits", "elapsed", "memory", "wait"),
    [
        (UNSET, 0.0, 0, LATEST),
        (Limits(0.0, 0), 5.0, 1 << 40, LATEST),
        (Limits(900.0), 10.0, 0, LATEST),
        (Limits(900.0), 899.75, 0, 0.25),
        (Limits(900.0), 950.0, 0, 0.001),
        (Limits(None, 4_000_000_000), 0.0, 0, LATEST),
        (Limits(None, 4_000_000_000), 0.0, 3_000_000_000, 0.5),
        (Limits(None, 4_000_000_000), 0.0, 4_000_000_000, SOONEST),
        (Limits(None, 4_000_000_000), 0.0, 5_000_000_000, SOONEST),
        (Limits(900.0, 4_000_000_000), 899.75, 3_000_000_000, 0.25),
        (Limits(900.0, 4_000_000_000), 899.25, 3_000_000_000, 0.5),
    ],
)
def test_the_nearer_a_limit_the_sooner_the_next_look(limits, elapsed, memory, wait):
    assert look_again(limits, elapsed=elapsed, memory=memory) == pytest.approx(wait)


@given(some_limits, seconds, sizes)
def test_the_next_look_is_never_at_once_and_never_far_away(limits, elapsed, memory):
    assert 0 < look_again(limits, elapsed=elapsed, memory=memory) <= LATEST == 1.0


@given(st.floats(0.001, 1e6), st.floats(0, 1))
def test_a_look_falls_on_the_deadline_and_not_much_after_it(runtime, share):
    limits, elapsed = Limits(runtime), runtime * share
    looks = 0
    while judge(limits, elapsed=elapsed, memory=0) is None:
        looks += 1
        # Whole seconds on the way there need not all be gone through.
        elapsed = max(elapsed, runtime - 3.5)
        elapsed += look_again(limits, elapsed=elapsed, memory=0)
    assert runtime <= elapsed <= max(runtime, runtime * share) + 0.0011
    # Who wakes a moment early, by rounding, does not begin to spin.
    assert looks <= 6


@given(st.integers(1, 1 << 40), st.floats(0, 1))
def test_who_grows_as_fast_as_can_be_is_seen_before_the_limit_or_soon(limit, share):
    memory = int(limit * share)
    wait = look_again(Limits(None, limit), elapsed=0.0, memory=memory)
    assert wait == SOONEST or memory + RATE * wait <= limit * (1 + 1e-9) + 1


@given(some_limits, seconds, sizes)
def test_two_limits_are_looked_after_as_often_as_the_nearer_one(
    limits, elapsed, memory
):
    alone = [
        look_again(limit, elapsed=elapsed, memory=memory)
        for limit in (Limits(limits.runtime, None), Limits(None, limits.memory))
    ]
    assert look_again(limits, elapsed=elapsed, memory=memory) == min(alone)


@given(some_limits, seconds, sizes, seconds, sizes)
def test_nobody_comes_nearer_to_a_limit_and_is_looked_at_later(
    limits, elapsed, memory, later, more
):
    before = look_again(limits, elapsed=elapsed, memory=memory)
    assert look_again(limits, elapsed=elapsed + later, memory=memory + more) <= before


# In the payload


@pytest.mark.parametrize(
    ("limits", "more"),
    [
        (UNSET, ""),
        (Limits(90.0), ',"limits":{"runtime":90.0}'),
        (Limits(None, 512 * MB), ',"limits":{"memory":536870912}'),
        (Limits(0.5, 0), ',"limits":{"runtime":0.5,"memory":0}'),
        (Limits(0.0), ',"limits":{"runtime":0.0}'),
    ],
)
def test_a_payload_has_a_further_key_only_for_limits_of_its_own(limits, more):
    assert payload.encode_job("A", (1,), limits) == f'{{"class":"A","args":[1]{more}}}'


@given(
    st.none() | st.floats(0, 1e15, exclude_max=True),
    st.none() | st.integers(0, 10**15 - 1),
)
def test_limits_in_a_payload_are_read_as_they_were_written(runtime, memory):
    raw = payload.encode_job("A", (), Limits(runtime, memory)).encode()
    assert payload.decode_job(raw).limits == Limits(runtime, memory)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("null", UNSET),
        ("5", UNSET),
        ('"90s"', UNSET),
        ("[90,5]", UNSET),
        ("{}", UNSET),
        ('{"runtime":null,"memory":null}', UNSET),
        ('{"runtime":"90s","memory":"512M"}', UNSET),
        ('{"runtime":true,"memory":false}', UNSET),
        ('{"runtime":-1,"memory":-0.5}', UNSET),
        ('{"runtime":1e15,"memory":1000000000000000}', UNSET),
        ('{"runtime":[1],"memory":{"a":1}}', UNSET),
        ('{"Runtime":1,"grace":5}', UNSET),
        ('{"runtime":"90s","memory":5}', Limits(None, 5)),
        ('{"runtime":5,"memory":"x","more":1}', Limits(5.0, None)),
        ('{"runtime":1e2,"memory":1e2}', Limits(100.0, 100)),
        ('{"runtime":0,"memory":0}', Limits(0.0, 0)),
        ('{"runtime":5,"memory":7.5}', Limits(5.0, 7)),
    ],
)
def test_limits_of_another_writer_count_if_they_can_be_read(text, limits):
    raw = f'{{"class":"A","args":[],"limits":{text}}}'.encode()
    job = payload.decode_job(raw)
    assert (job.class_name, job.args, job.limits) == ("A", (), limits)
    assert job.limits.runtime is None or isinstance(job.limits.runtime, float)
    assert job.limits.memory is None or isinstance(job.limits.memory, int)


_numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_json = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*Limits._fields, "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(_json)
@example({"runtime": 10**400, "memory": 10**400})
@example({"runtime": 5e-324, "memory": 5e-324})
def test_no_limits_keep_a_job_from_being_read(value):
    raw = json.dumps({"class": "A", "args": [1], "limits": value}).encode()
    job = payload.decode_job(raw)
    assert (job.class_name, job.args, job.raw) == ("A", (1,), raw)
    assert all(limit is None or 0 <= limit < 1e15 for limit in job.limits)


def test_a_retry_has_no_limits_of_its_own_as_with_ruby():
    raw = payload.encode_job("A", (1,), Limits(5.0, 10)).encode()
    fault = payload.FailureInfo("E", "m")
    entry = payload.failure(fault, payload=raw, worker="w", queue="q", now=0.0)
    assert json.loads(entry)["payload"]["limits"] == {"runtime": 5.0, "memory": 10}
    assert payload.retry_job(entry) == ("q", '{"class":"A","args":[1]}')


# Of a job, in its code


@pytest.fixture(autouse=True)
def _no_jobs(monkeypatch):
    """Jobs that are declared here are no more there afterwards."""
    jobs = {}
    for module in (jobs_declare, lookup):
        monkeypatch.setattr(module, "DECLARED", jobs)


def archive(repo_id: int = 0) -> int:
    return repo_id


def test_limits_are_written_as_people_write_them():
    job = resqued.job(name="A", timeout="15m", memory="512M")(archive)
    assert resolve("A", ())[1] == limits_of(job) == Limits(900.0, 512 * MB)
    plain = resqued.job(name="B", timeout=0)(archive)
    assert limits_of(plain) == Limits(0.0, None)
    other = resqued.job(name="C", timeout=timedelta(minutes=1.5), memory=0.5)(archive)
    assert limits_of(other) == Limits(90.0, 1)


def test_a_class_declares_limits_as_a_function_does():
    @resqued.job(name="A", timeout=5)
    class Archive:
        @staticmethod
        def perform() -> None: ...

    class Narrower(Archive): ...

    @resqued.job(name="B")
    class Bare(Archive): ...

    assert resolve("A", ())[1] == limits_of(Archive) == Limits(5.0, None)
    assert resolve("B", ())[1] == limits_of(Bare) == UNSET
    # As name and queue, they are those of the class that was decorated.
    assert limits_of(Narrower) == UNSET


def test_declared_limits_do_not_go_with_the_payload():
    job = resqued.job(name="A", timeout=5)(archive)
    assert payload_limits(job) == payload_limits("A") == UNSET


def test_limits_for_what_is_enqueued_through_the_answer_alone():
    job = resqued.job(name="A", queue="q", timeout=5)(archive)
    longer = job.limited(timeout="2h")
    assert (payload_limits(longer), payload_limits(job)) == (Limits(7200.0), UNSET)
    assert limits_of(longer) == limits_of(job) == Limits(5.0)
    assert (longer.name, longer.queue, longer(3)) == ("A", "q", 3)
    assert resolve("A", ()) == (job.function, Limits(5.0), None)


def test_limits_may_be_given_one_after_the_other_and_the_last_word_counts():
    job = resqued.job(name="A")(archive).limited(timeout=5, memory=10)
    assert payload_limits(job.limited(timeout=6)) == Limits(6.0, 10)
    assert payload_limits(job.limited(memory=0)) == Limits(5.0, 0)
    assert payload_limits(job.limited()) == Limits(5.0, 10)


@pytest.mark.parametrize(
    ("given_as", "problem"),
    [
        (
            {"timeout": "soon"},
            "A: timeout 'soon': not a duration such as 90, 4s, 15m or 2h",
        ),
        (
            {"timeout": 5, "memory": "lots"},
            "A: memory 'lots': not a size such as 512M or 2G",
        ),
        ({"timeout": -1}, "A: timeout -1: negative, and 0 is without limit"),
        (
            {"timeout": timedelta(-1)},
            "A: timeout datetime.timedelta(days=-1): negative, and 0 is without limit",
        ),
        ({"memory": -1}, "A: memory -1: negative, and 0 is without limit"),
        (
            {"timeout": True},
            "A: timeout True: not a duration such as 90, 4s, 15m or 2h",
        ),
        (
            {"memory": False},
            "A: memory False: not a size such as 512M or 2G",
        ),
    ],
)
def test_a_limit_that_is_none_is_refused_where_it_is_written(given_as, problem):
    job = resqued.job(name="A")(archive)
    for declare in (job.limited, lambda **limits: resqued.job(name="A", **limits)):
        with pytest.raises(resqued.JobClassError) as caught:
            declare(**given_as)
        assert str(caught.value) == problem


ENDLESS = [
    {"timeout": math.nan},
    {"timeout": math.inf},
    {"timeout": 10**400},
    {"timeout": "9" * 400},
    {"memory": math.nan},
    {"memory": math.inf},
    {"memory": "9" * 400},
]


@pytest.mark.parametrize("given_as", ENDLESS, ids=lambda v: f"{v}"[:20])
def test_a_limit_that_is_no_number_is_refused_where_it_is_written(given_as):
    with pytest.raises(resqued.JobClassError, match=r"not a (duration|size)"):
        resqued.job(name="A")(archive).limited(**given_as)


def test_the_least_memory_is_that_of_the_most_modest_job():
    assert least_memory() == 0
    for number, memory in enumerate([None, 0, "2G", "512M", "1G"]):
        resqued.job(name=f"Job{number}", memory=memory)(archive)
    assert least_memory() == 512 * MB


def test_jobs_that_are_enqueued_with_less_memory_are_not_declared_with_it():
    job = resqued.job(name="A", memory="1G")(archive)
    assert isinstance(job, Job)
    job.limited(memory="1M")
    assert least_memory() == 1 << 30


@pytest.mark.parametrize(
    ("asked", "most", "found"),
    [
        (UNSET, Limits(10.0, 100), Limits(60.0, 1000)),
        (Limits(5.0, 50), Limits(10.0, 100), Limits(5.0, 50)),
        (Limits(20.0, 200), Limits(10.0, 100), Limits(10.0, 100)),
        (Limits(0.0, 0), Limits(10.0, 100), Limits(10.0, 100)),
        (Limits(0.0, None), Limits(10.0, 100), Limits(10.0, 1000)),
        (Limits(0.0, 5000), Limits(0.0, 0), Limits(0.0, 5000)),
    ],
)
def test_a_payload_cannot_ask_for_more_than_the_configuration_allows(
    asked, most, found
):
    rules = Rules(Limits(60.0, 1000), most=most)
    assert rules.of("q", "A", asked=asked) == found
    assert rules.for_pool(UNSET).of("q", "A", asked=asked) == found
    assert convert(json.loads(json.dumps(to_builtins(rules))), Rules) == rules


@pytest.mark.parametrize(
    ("known", "said", "narrower"),
    [
        (Limits(5.0, 100), Limits(9.0, 50), Limits(5.0, 50)),
        (Limits(5.0, 100), NO_LIMITS, Limits(5.0, 100)),
        (Limits(5.0, 100), UNSET, Limits(5.0, 100)),
        (NO_LIMITS, Limits(5.0, 100), Limits(5.0, 100)),
        (UNSET, Limits(5.0, None), Limits(5.0, None)),
        (NO_LIMITS, UNSET, NO_LIMITS),
    ],
)
def test_limits_that_are_known_can_only_become_narrower(known, said, narrower):
    assert known.tightened(said) == narrower
