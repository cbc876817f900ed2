"""Declaring jobs, naming them, and finding the one that a payload names."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import resqued
from resqued.jobs.lookup import resolve
from resqued.wire.naming import queue_of, target_of, wire_name


@resqued.job(queue="mail", name="Send")
def send(to: str) -> str:
    return f"sent to {to}"


@resqued.job()
def bare() -> None: ...


@resqued.job(queue="mail")
class Deliver:
    @staticmethod
    def perform(to: str) -> str:
        return f"delivered to {to}"


class Plain:
    queue = "low"

    @classmethod
    def perform(cls, number: int) -> int:
        return number + 1


class NoName:
    queue: Any

    @staticmethod
    def perform() -> None: ...


class Instance:
    queue = "low"

    def perform(self) -> None: ...


HERE = (__name__,)


def test_a_job_is_still_a_function():
    assert send("me") == "sent to me"


def test_names_on_the_wire():
    assert wire_name(send) == "Send"
    assert wire_name(bare) == f"{__name__}.bare"
    assert wire_name(Deliver) == f"{__name__}.Deliver"
    assert wire_name(Plain) == f"{__name__}.Plain"
    assert wire_name("Ruby::Class") == "Ruby::Class"


def test_queues_of_jobs():
    assert [queue_of(job) for job in (send, Deliver, Plain)] == ["mail", "mail", "low"]


@pytest.mark.parametrize("job", [bare, "Archive", object])
def test_a_job_without_a_queue_says_so(job):
    with pytest.raises(resqued.JobClassError, match="has no queue"):
        queue_of(job)


def test_what_is_no_queue_says_so():
    for queue in (["q"], 5):
        NoName.queue = queue
        with pytest.raises(resqued.JobClassError, match=r"queue .*which is not a str"):
            queue_of(NoName)


def test_an_empty_name_is_refused():
    with pytest.raises(resqued.JobClassError, match="must be given a class"):
        wire_name("")


def test_what_is_no_job_is_refused():
    for refused in (wire_name, queue_of, resqued.enqueue):
        with pytest.raises(resqued.JobClassError, match="is not a job"):
            refused(len)  # type: ignore[operator]


def test_main_and_local_functions_cannot_be_found_by_a_worker():
    def local() -> None: ...

    with pytest.raises(resqued.JobClassError, match="inside a function"):
        resqued.job(queue="q")(local)
    local.__module__, local.__qualname__ = "__main__", "local"
    with pytest.raises(resqued.JobClassError, match="__main__"):
        resqued.job(queue="q")(local)


def test_a_name_is_given_once():
    def other() -> None: ...

    with pytest.raises(resqued.JobClassError, match=r"'Send'.*is taken by"):
        resqued.job(name="Send")(other)


@pytest.mark.parametrize(
    ("name", "args", "result"),
    [
        ("Send", ("me",), "sent to me"),
        (f"{__name__}.Deliver", ("me",), "delivered to me"),
        (f"{__name__}.Plain", (1,), 2),
    ],
)
def test_jobs_are_found(name: str, args: tuple[Any, ...], result: Any):
    target, _, _ = resolve(name, HERE)
    assert target(*args) == result


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        f"{__name__}.pytest",
        f"{__name__}.Plain.perform",
        f"{__name__}.Plain.__class__",
        f"{__name__}.test_jobs_are_found",
        f"{__name__}.resqued.Client",
        "resqued.client.Client",
        "",
        ".",
        "..x",
    ],
)
def test_nothing_else_is_found(name: str):
    with pytest.raises(resqued.JobClassError, match="is not a job of this application"):
        resolve(name, HERE)


def test_what_is_called_is_the_function_itself():
    assert target_of(send)("me") == "sent to me"


def test_perform_of_an_instance_is_refused_with_the_way_out():
    with pytest.raises(resqued.JobClassError, match="staticmethod or a classmethod"):
        target_of(Instance)


# The parameters of a job


@pytest.fixture
def put(monkeypatch) -> list[tuple[str, str]]:
    """What the default client puts on queues, instead of a server."""
    found: list[tuple[str, str]] = []
    monkeypatch.setattr("resqued.client._default", {})
    client = resqued.configure("redis://127.0.0.1:1")
    monkeypatch.setattr(client._queues, "push", lambda *pair: found.append(pair))
    return found


@resqued.job(queue="q", name="Store")
def archive(repo_id: int, branch: str = "master", depth: int = 1) -> str:
    """Archive a repository."""
    return f"{repo_id} {branch} {depth}"


@resqued.job(queue="q", name="Rest")
def rest(first: int, second: int = 2, *others: int, colour: str = "red", **more: int):
    return None


def test_a_job_looks_like_its_function():
    assert (archive.__name__, archive.__doc__) == ("archive", "Archive a repository.")
    assert inspect.signature(archive) == inspect.signature(archive.function)
    assert pickle.loads(pickle.dumps(archive)) is archive
    assert copy.copy(archive) is archive


@pytest.mark.parametrize(
    ("args", "kwargs", "written"),
    [
        ((44,), {}, "[44]"),
        ((44, "main"), {}, '[44,"main"]'),
        ((44,), {"branch": "main"}, '[44,"main"]'),
        ((), {"branch": "main", "repo_id": 44}, '[44,"main"]'),
        # A parameter left out in between has its default.
        ((44,), {"depth": 5}, '[44,"master",5]'),
        ((), {"depth": 5, "repo_id": 44}, '[44,"master",5]'),
    ],
)
def test_arguments_are_written_by_position(put, args, kwargs, written):
    archive.enqueue(*args, **kwargs)
    archive.enqueue_to("q", *args, **kwargs)
    resqued.enqueue(archive, *args, **kwargs)
    resqued.enqueue_to("q", archive, *args, **kwargs)
    assert put == [("q", f'{{"class":"Store","args":{written}}}')] * 4


def test_arguments_of_a_class_are_those_of_perform(put):
    resqued.enqueue(Deliver, to="me")
    resqued.enqueue_to("q", Plain, number=3)
    assert [text.partition('"args":')[2] for _, text in put] == ['["me"]}', "[3]}"]
    with pytest.raises(resqued.ArgumentError, match=r"Plain takes \(number\): missing"):
        resqued.enqueue(Plain)


def test_arguments_behind_a_star_go_on_the_list(put):
    rest.enqueue(1, 2, 3, 4)
    rest.enqueue(1, second=3)
    assert [text.partition('"args":')[2] for _, text in put] == ["[1,2,3,4]}", "[1,3]}"]


@pytest.mark.parametrize(
    ("job", "args", "kwargs", "problem"),
    [
        (archive, (), {}, "missing a required argument: 'repo_id'"),
        (archive, (1, "a", 2, 3), {}, "too many positional arguments"),
        (archive, (1,), {"brnch": 2}, "got an unexpected keyword argument 'brnch'"),
        (archive, (1,), {"repo_id": 2}, "multiple values for argument 'repo_id'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(put, job, args, kwargs, problem):
    for enqueue in (job.enqueue, job.limited(timeout=5).enqueue):
        with pytest.raises(resqued.ArgumentError) as caught:
            enqueue(*args, **kwargs)
        expected = f"Store takes (repo_id, branch, depth): {problem}"
        assert str(caught.value) == expected
    assert not put


@pytest.mark.parametrize("name", ["colour", "size"])
def test_what_only_a_keyword_can_give_is_refused(put, name):
    with pytest.raises(resqued.ArgumentError, match="by keyword alone"):
        rest.enqueue(1, **{name: 3})
    assert not put


def test_parameters_that_need_a_keyword_are_refused_where_they_are_declared():
    def strict(number: int, *, colour: str) -> None: ...

    with pytest.raises(resqued.JobClassError, match="Strict needs colour by keyword"):
        resqued.job(name="Strict")(strict)


def test_arguments_of_a_name_are_not_checked_and_have_no_keywords(put):
    resqued.enqueue_to("q", "Store", 1, 2, 3, 4, 5)
    assert put
    with pytest.raises(resqued.ArgumentError, match="known by its name alone"):
        resqued.enqueue_to("q", "Store", number=3)  # type: ignore[call-overload]


def test_the_default_goes_through_json_as_an_argument_does(put):
    @resqued.job(queue="q", name="Odd")
    def odd(first: object = frozenset(), second: int = 2) -> None: ...

    odd.enqueue()
    with pytest.raises(resqued.ArgumentError, match="argument 1 is a frozenset"):
        odd.enqueue(second=3)


def test_parameters_that_python_does_not_know_are_not_checked(put):
    def hidden(number: int) -> None: ...

    hidden.__signature__ = "none"  # type: ignore[attr-defined]
    job = resqued.job(queue="q", name="Hidden")(hidden)
    job.enqueue(1)
    with pytest.raises(resqued.ArgumentError, match="not known here"):
        job.enqueue(number=3)


@pytest.mark.parametrize("items", [["abc"], [b"abc"], [44], [{1: 2}]], ids=repr)
def test_an_item_that_is_no_list_of_arguments_is_refused(items):
    client = resqued.Client("redis://127.0.0.1:1")
    with pytest.raises(resqued.ArgumentError, match="takes tuples and lists, not a"):
        client.enqueue_many(items, job=archive)
    with pytest.raises(resqued.ArgumentError, match="not an empty item"):
        client.enqueue_many([()])
    with pytest.raises(resqued.ArgumentError, match="missing a required argument"):
        client.enqueue_many([()], job=archive)


def test_inline_mode_runs_the_job_with_what_a_worker_would_have_read():
    seen = []

    class Look:
        queue = "q"

        @staticmethod
        def perform(value: Any) -> None:
            seen.append(value)

    client = resqued.Client("redis://127.0.0.1:1", inline=True)
    Look.__qualname__ = "Look"
    assert client.enqueue(Look, (1, {"a": (2,)})) is True
    assert seen == [[1, {"a": [2]}]]
    with pytest.raises(resqued.ArgumentError, match="argument 1"):
        client.enqueue(Look, {1})


def _yields():
    yield 1


async def _yields_in_a_loop():
    yield 1


def _method(self, number): ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_yields, "is a generator"),
        (_yields_in_a_loop, "is a generator"),
        (_method, "is a method, and a job has no self"),
    ],
)
def test_what_no_call_would_run_is_refused_where_it_is_declared(function, reason):
    with pytest.raises(resqued.errors.JobClassError, match=reason):
        resqued.job(queue="q", name="Refused")(function)


def test_a_coroutine_runs_inline_too():
    ran = []

    @resqued.job(queue="q", name="Inline")
    async def inline(number):
        ran.append(number)

    resqued.Client(inline=True).enqueue(inline, 5)
    assert ran == [5]
