"""What jobs and the configuration say of retries, and how attempts are named."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from msgspec import convert, to_builtins

import resqued
from resqued.config.loader import build
from resqued.core.retry import LONGEST_DELAY, MOST_TIMES, Spacing
from resqued.errors import ConfigError, JobClassError
from resqued.retries.declared import own_death_rule, own_retry
from resqued.retries.policy import Retry, RetryRules, RetryTable, read_retry
from resqued.store.job_identity import identify, identity_of


async def _coroutine(*_: object) -> None: ...


@pytest.mark.parametrize(
    "wrong",
    [
        {"times": -1},
        {"times": True},
        {"times": 1.5},
        {"times": MOST_TIMES + 1},
        {"delay": "soon"},
        {"delay": -1},
        {"factor": 0},
        {"jitter": 2},
        {"within": "x"},
        {"on": ValueError},
        {"on": "ValueError"},
        {"on": (int,)},
        {"unless": (1,)},
        {"on_exhausted": 3},
        {"on_exhausted": _coroutine},
        {"delay": _coroutine},
        {"jitter": "0.1"},
        {"factor": None},
        {"on": None},
        {"within": lambda: 5},
        {"max_delay": lambda: 5},
    ],
)
def test_what_cannot_be_used_is_refused_where_it_is_declared(wrong: Any) -> None:
    with pytest.raises(JobClassError, match=r"retry|on_exhausted"):
        Retry(**wrong)


def test_a_wrong_retry_names_its_job() -> None:
    with pytest.raises(JobClassError, match="Wrong: retry -1 must be"):
        resqued.job(name="Wrong", retry=-1)
    with pytest.raises(JobClassError, match="Wrong: retry 'x' is neither"):
        resqued.job(name="Wrong", retry="x")  # type: ignore[call-overload]


def test_durations_are_those_of_all_other_places() -> None:
    retry = Retry(1, delay="1m", max_delay=timedelta(hours=1), within="2h")
    assert retry.spacing == Spacing(1, 60, 2, 0.1, 3600, 7200)


def test_a_function_gives_the_delay() -> None:
    retry = read_retry(lambda attempt: "1m" if attempt == 1 else None)
    assert retry.next_delay(1, 0) == 60
    assert retry.next_delay(2, 0) is None
    with pytest.raises(JobClassError, match="returned 'x'"):
        Retry(3, delay=lambda _: "x").next_delay(1, 0)
    assert Retry(3, delay=lambda _: 1).next_delay(4, 0) is None


@pytest.mark.parametrize(
    ("on", "is_wanted"),
    [
        (resqued.JobTimeout, True),
        ("JobTimeout", True),
        ("resqued.JobTimeout", True),
        (resqued.JobTerminated, True),
        (SystemExit, True),
        (Exception, False),
        (resqued.MemoryLimitExceeded, False),
    ],
)
def test_exceptions_are_given_as_classes_or_names(on: Any, is_wanted: bool) -> None:
    assert Retry(on=(on,)).wants(resqued.JobTimeout) is is_wanted


def test_of_a_class_only_a_retry_or_a_number_counts() -> None:
    class Method:
        def retry(self) -> None: ...

    class Number:
        retry = 2

    class Flag:
        retry = True

    class Wrong:
        retry = -2

    assert own_retry(Method) is None
    assert own_retry(Flag) is None
    assert own_retry(Number) == Retry(2)
    with pytest.raises(JobClassError, match="Wrong: retry -2"):
        own_retry(Wrong)


def test_the_most_specific_rule_applies() -> None:
    one, two, three = (RetryTable(Spacing(n)) for n in (1, 2, 3))
    rules = RetryRules(one, {"low": two}, {"Mail": three})
    declared = Retry(9)

    def times(*asked: Any) -> int:
        found = rules.of(*asked)
        return found.times if found else 0

    assert times("low", "Mail", declared) == 3
    assert times("low", "Other", declared) == 9
    assert times("low", "Other") == 2
    assert times("high", "Other") == 1
    assert times("low", "Other", Retry(0)) == 0
    assert not RetryRules().of("low", "Mail")
    assert convert(json.loads(json.dumps(to_builtins(rules))), RetryRules) == rules


def test_the_configuration_has_tables_of_retries() -> None:
    rules = build(
        {
            "retry": {
                "delay": "5s",
                "record": "all",
                "class": {"Mail": {"on": ["OSError"]}},
                "queue": {"low": {"times": 0}},
            }
        }
    ).app.retries
    assert rules.default is None
    assert rules.records_all
    assert rules.classes["Mail"] == RetryTable(Spacing(3, 5.0), ("OSError",))
    assert rules.queues["low"].spacing.times == 0


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"times": -1}, r"\[retry\] times: -1 must be a whole number"),
        ({"jitter": 2}, r"\[retry\] jitter: 2 must be a number from 0 to 1"),
        ({"on": "OSError"}, r"\[retry\] on: 'OSError' must be a list of names"),
        ({"class": {"M": {"tmes": 1}}}, r"\[retry.class.M\]: unknown key 'tmes' \(did"),
        ({"queue": {"q": {"record": "all"}}}, r"\[retry.queue.q\]: unknown key"),
        ({"queue": {"q": {"delay": "x"}}}, r"\[retry.queue.q\] delay: 'x' is not"),
        ({"queue": 3}, r"retry.queue must be written as \[retry.queue.NAME\]"),
    ],
)
def test_wrong_tables_are_refused(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        build({"retry": table})


# Names as resque-retry 1.8.1 makes them: SHA-1 of the arguments, joined by Ruby.
@pytest.mark.parametrize(
    ("args", "text"),
    [
        ([1], "1"),
        ([1, "a b"], "1-a b"),
        ([1, [2, [3]]], "1-2-3"),
        ([None, True, 1.5], "-true-1.5"),
        ([1, {"a": 2, "b": [None, "x"]}], '1-{"a"=>2, "b"=>[nil, "x"]}'),
    ],
)
def test_attempts_are_named_as_in_ruby(args: list[Any], text: str) -> None:

    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    assert identify("A b", args) == f"Ab:{digest}"


def test_names_of_payloads() -> None:
    assert identity_of(b'{"class":"A","args":[]}') == "A"
    assert identity_of(b"no job") == ""
    long = b'{"class":"A","args":["%b"]}' % (b"x" * 100_000)
    assert identity_of(long) == identity_of(b" " + long + b"\n") != ""


def _group(*members: Exception, kind: type[Exception] = ExceptionGroup) -> Any:
    return kind("of a task group", members)


@pytest.mark.parametrize(
    ("retry", "error", "is_wanted"),
    [
        (Retry(), _group(ValueError()), True),
        (Retry(on=(OSError,)), _group(ConnectionError(), TimeoutError()), True),
        (Retry(on=(OSError,)), _group(ConnectionError(), ValueError()), False),
        (Retry(on=(OSError,)), _group(_group(ConnectionError())), True),
        (Retry(unless=(ValueError,)), _group(OSError(), ValueError()), False),
        (Retry(on=("ExceptionGroup",)), _group(ValueError()), True),
        (Retry(unless=(ExceptionGroup,)), _group(ValueError()), False),
        (Retry(on=(OSError,)), ConnectionError(), True),
    ],
)
def test_a_group_is_wanted_if_all_of_its_members_are(
    retry: Retry, error: BaseException, is_wanted: bool
) -> None:
    assert retry.wants_error(error) is is_wanted


def test_exceptions_may_be_given_by_a_generator() -> None:
    retry = Retry(on=(kind for kind in (OSError,)))  # type: ignore[arg-type]
    assert retry.wants(ConnectionError)
    assert retry.wants(ConnectionError)


@pytest.mark.parametrize("delay", [1e30, "100000d"])
def test_no_delay_after_a_death_is_longer_than_others(delay: Any) -> None:
    class Job:
        retry = Retry(delay=delay, max_delay=1e30)
        on_worker_death = "retry"

    rule = own_death_rule(Job)
    assert rule is not None
    assert rule.delay == LONGEST_DELAY
    Job.retry = Retry(delay="2d")
    rule = own_death_rule(Job)
    assert rule is not None
    assert rule.delay == 86_400
