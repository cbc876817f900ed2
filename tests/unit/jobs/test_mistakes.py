"""What people write wrongly at first: refused where it stands, with the way out.

One table for each place: the decorator, the call of enqueue, a job that is asked for
what other libraries have, and the client.
"""

from __future__ import annotations

import functools
import inspect
import pickle
import pydoc
import typing
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Generic, TypeVar

import pytest
import redis as redis_py

import resqued
from resqued.jobs.lookup import resolve
from resqued.wire.queue_list import is_plain, parse


def plain(number: int) -> int:
    return number


class Thing:
    def __call__(self, number: int) -> None: ...

    def method(self, number: int) -> None: ...

    @classmethod
    def of_class(cls, number: int) -> None: ...


class NoPerform:
    queue = "low"


class OnInstance:
    queue = "low"

    def perform(self, number: int) -> None: ...


class OddQueue:
    queue = "a,b"

    @staticmethod
    def perform() -> None: ...


@resqued.job(queue="q", name="Square")
def square(number: int, unit: str = "m") -> int:
    """Return the square of a number."""
    return number * number


class Place:
    @staticmethod
    @resqued.job(queue="q", name="Outside")
    def outside(number: int) -> int:
        return number + 1

    @resqued.job(queue="q", name="Inside")
    @staticmethod
    def inside(number: int) -> int:
        return number + 2


@resqued.job
def bare(number: int) -> int:
    return number


@resqued.job
class BareClass:
    @staticmethod
    def perform(number: int) -> int:
        return number


T = TypeVar("T")


class OfItems(Generic[T]):
    queue = "q"

    @staticmethod
    def perform(item: T) -> T:
        return item


def shown(value: object) -> str:
    """The id of a parameter, which is the same in each process."""
    return value if isinstance(value, str) else type(value).__name__


# The decorator


@pytest.mark.parametrize(
    ("target", "way_out"),
    [
        (functools.partial(plain, 1), "it is a functools.partial.*: write a function"),
        (Thing(), "an instance of Thing.*: write a function that calls it"),
        (Thing().method, "it is a method: declare a function"),
        (Thing.of_class, "it is a method: declare a function"),
        (classmethod(plain), "it is a method: declare a function"),
        (property(plain), "declare a function, or a class"),
        (5, "5 cannot be a job: declare a function"),
        (None, "None cannot be a job: declare a function"),
        (square, "Square is a job already: .* its attribute function"),
        (NoPerform, "has no perform: give it a static or class method"),
        (OnInstance, "must be a staticmethod or a classmethod"),
        (int, "it takes no attributes .*: declare a function"),
    ],
    ids=shown,
)
@pytest.mark.parametrize("name", ["Refused", None])
def test_what_cannot_be_a_job(target: Any, way_out: str, name: str | None) -> None:
    with pytest.raises(resqued.JobClassError, match=way_out):
        resqued.job(queue="q", name=name)(target)
    with pytest.raises(resqued.JobClassError):
        resolve("Refused", ())


ODD_QUEUES = [
    "a,b",
    "a,",
    ",a",
    "*",
    "!a",
    "a?",
    "a[b",
    "{a",
    " a",
    "a ",
    "low\n",
    "\0",
]
PLAIN_QUEUES = [
    "low",
    "ä",
    "a b",
    "a!b",
    ".hidden",
    "a\\b",
    "file-serve",
    "a:b",
    "\xa0",
]


@pytest.mark.parametrize(
    ("queue", "problem"),
    [
        *[(queue, "cannot be named in `resqued work`") for queue in ODD_QUEUES],
        (["a"], r"queue \['a'\] is not a str: name one, such as 'low'"),
        (5, "queue 5 is not a str"),
        ("", "its name is empty"),
    ],
    ids=repr,
)
def test_what_cannot_be_a_queue(queue: Any, problem: str) -> None:
    client = resqued.Client("redis://127.0.0.1:1")
    calls: list[Any] = [
        lambda: resqued.job(queue=queue, name="Refused"),
        lambda: client.enqueue_to(queue, square, 1),
        lambda: client.enqueue_to(queue, "Archive", 1),
        lambda: client.enqueue_many([(1,)], job=square, queue=queue),
    ]
    for call in calls:
        with pytest.raises(resqued.QueueNameError, match=problem):
            call()


def test_a_queue_that_a_class_names_oddly_is_refused_too() -> None:
    for inline in (False, True):
        client = resqued.Client("redis://127.0.0.1:1", inline=inline)
        with pytest.raises(resqued.QueueNameError, match="cannot be named"):
            client.enqueue(OddQueue)


@pytest.mark.parametrize("queue", [*ODD_QUEUES, *PLAIN_QUEUES], ids=repr)
def test_a_plain_name_is_served_by_the_list_of_that_text(queue: str) -> None:
    assert is_plain(queue) == (queue in PLAIN_QUEUES)
    if is_plain(queue):
        assert parse(queue).match(()) == (queue,)


@pytest.mark.parametrize(
    ("keyword", "way_out"),
    [
        ("retries", "use retry=, as in retry=resqued.Retry"),
        ("countdown", "use enqueue_in"),
        ("cron", "write @resqued.cron"),
        ("unique", "take a lock in the job"),
        ("keep_result", "have the job store it"),
        ("time_limit", "use timeout="),
        ("priority", "use queue="),
        ("colour", "it takes queue, name, timeout, memory, retry and hooks"),
    ],
)
def test_a_keyword_that_the_decorator_lacks(keyword: str, way_out: str) -> None:
    with pytest.raises(resqued.JobClassError, match=f"no {keyword}=: .*{way_out}"):
        resqued.job(queue="q", **{keyword: 3})


@pytest.mark.parametrize(
    ("given_as", "problem"),
    [
        ({"timeout": -1}, "timeout -1: negative, and 0 is without limit"),
        ({"memory": -1}, "memory -1: negative, and 0 is without limit"),
        ({"name": 5}, "job name 5 is not a text"),
        ({"name": ""}, "job name '' is not a text"),
    ],
    ids=str,
)
def test_a_value_that_the_decorator_cannot_use(given_as: Any, problem: str) -> None:
    with pytest.raises(resqued.JobClassError, match=problem):
        resqued.job(**given_as)


def test_a_queue_without_its_keyword() -> None:
    with pytest.raises(resqued.JobClassError, match=r"as in @resqued.job\(queue='low'"):
        resqued.job("low")  # type: ignore[call-overload]


def test_the_decorator_may_stand_without_parentheses() -> None:
    assert bare(3) == 3
    assert bare.name == f"{__name__}.bare"
    assert resolve(f"{__name__}.BareClass", ())[0](4) == 4
    with pytest.raises(resqued.JobClassError, match="has no queue"):
        bare.enqueue(3)


# The call of enqueue


@pytest.mark.parametrize(
    ("job", "way_out"),
    [
        (plain, f"function {__name__}.plain is not a job: decorate it with"),
        (len, "function builtins.len is not a job: decorate it with"),
        (None, "pass the job and then its arguments"),
        (5, "5 is not a job: a job is a function decorated"),
        (OnInstance(), "pass the class OnInstance itself"),
        (OfItems[int], "pass the class OfItems itself"),
        (functools.partial(plain, 1), "is not a job: a job is a function decorated"),
        (NoPerform, "has no perform: .* enqueue it by its name"),
        (OnInstance, "must be a staticmethod or a classmethod"),
        ("Archive", "'Archive' is a name alone and has no queue: use enqueue_to"),
    ],
    ids=shown,
)
def test_what_is_no_job(job: Any, way_out: str) -> None:
    for inline in (False, True):
        client = resqued.Client("redis://127.0.0.1:1", inline=inline)
        with pytest.raises(resqued.JobClassError, match=way_out):
            client.enqueue(job, 1)
        if not isinstance(job, str):
            with pytest.raises(resqued.JobClassError, match=way_out):
                client.enqueue_to("q", job, 1)
        if not (job is None or isinstance(job, str)):
            with pytest.raises(resqued.JobClassError, match=way_out):
                client.enqueue_many([(1,)], job=job, queue="q")


def test_a_keyword_that_is_unknown_is_named_before_what_is_missing() -> None:
    for call in (square.enqueue, square.dequeue):
        with pytest.raises(resqued.ArgumentError, match="keyword argument 'numbr'"):
            call(numbr=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("delay", "use enqueue"),
        ("apply_async", "use enqueue"),
        ("schedule", "use enqueue_in"),
        ("retry_later", "raise resqued.RetryLater"),
        ("get", "have the job store it"),
        ("cancel", "use dequeue"),
        ("colour", "$"),
    ],
)
def test_what_a_job_lacks(name: str, way_out: str) -> None:
    assert not hasattr(square, name)
    with pytest.raises(AttributeError, match=f"job Square.*'{name}'.*{way_out}"):
        getattr(square, name)


# The client


@pytest.mark.parametrize(
    ("given_as", "problem"),
    [
        ({"url": redis_py.Redis()}, "must be a str such as 'redis://.*, not Redis"),
        ({"url": redis_py.ConnectionPool()}, "must be a str .*, not ConnectionPool"),
        ({"namespace": 5}, "namespace 5 is not a str"),
        ({"namespace": ""}, "namespace '' is not a str"),
        ({"timeout": "2s"}, "timeout '2s' is not a number of seconds"),
        ({"timeout": 0}, "timeout 0 is not a number of seconds"),
        ({"timeout": float("nan")}, "timeout nan is not a number of seconds"),
        ({"inline": "no"}, "inline 'no' is not True or False"),
        ({"max_payload": "1M"}, "max_payload '1M' is not a whole number of bytes"),
        ({"max_payload": None}, "max_payload None is not a whole number of bytes"),
        ({"max_payload": 0}, "max_payload 0 is not a whole number of bytes"),
        ({"max_payload": True}, "max_payload True is not a whole number of bytes"),
    ],
    ids=shown,
)
def test_what_a_client_cannot_be_made_of(given_as: Any, problem: str) -> None:
    before = resqued.default_client()
    for make in (resqued.Client, resqued.configure):
        with pytest.raises(resqued.ConfigError, match=problem):
            make(**given_as)
    assert resqued.default_client() is before


def test_configure_in_a_with_statement_goes_back_to_the_former_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("resqued.client._default", {})
    with resqued.configure("redis://first") as first:
        assert resqued.default_client() is first
    assert resqued.default_client().url != first.url
    outer = resqued.configure("redis://outer")
    with resqued.configure(inline=True) as inner:
        assert square.enqueue(3) is True
        with resqued.configure("redis://innermost"):
            assert resqued.default_client() is not inner
        assert resqued.default_client() is inner
    assert resqued.default_client() is outer
    # The end of a block that did not configure anything changes nothing.
    for used in (outer, resqued.default_client(), resqued.Client("redis://other")):
        with used:
            pass
        assert resqued.default_client() is outer


# A job is a function


def test_a_job_has_all_that_its_function_has() -> None:
    assert square.__wrapped__ is square.function
    assert (square.__name__, square.__qualname__) == ("square", "square")
    assert (square.__module__, square.__doc__) == (__name__, square.function.__doc__)
    assert (
        str(inspect.signature(square)) == "(number: 'int', unit: 'str' = 'm') -> 'int'"
    )
    assert typing.get_type_hints(square) == {"number": int, "unit": str, "return": int}
    text = pydoc.plain(pydoc.render_doc(square))
    assert "square(number: 'int', unit: 'str' = 'm') -> 'int'" in text
    assert "Return the square of a number." in text


def test_a_job_may_stand_in_a_class() -> None:
    assert (Place.outside(1), Place().outside(1)) == (2, 2)
    assert (Place.inside(1), Place().inside(1)) == (3, 3)
    for job in (Place.outside, Place.inside, Place().inside):
        assert isinstance(job, resqued.Job)
        assert pickle.loads(pickle.dumps(job)) is job


def test_a_job_with_limits_of_its_own_is_pickled_with_them() -> None:
    limited = square.limited(timeout=5, memory="1M")
    found = pickle.loads(pickle.dumps(limited))
    assert (found.function, found.asked) == (square.function, limited.asked)


def test_a_job_runs_in_the_processes_of_a_pool() -> None:
    with ProcessPoolExecutor(1) as pool:
        assert list(pool.map(square, range(4))) == [0, 1, 4, 9]
