"""Declaring jobs, naming them, and finding the one that a payload names."""

from __future__ import annotations

from typing import Any

import pytest

import resqued
from resqued.jobs.declare import resolve
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


def test_an_empty_name_is_refused():
    with pytest.raises(resqued.JobClassError, match="must be given a class"):
        wire_name("")


def test_what_is_no_job_is_refused():
    with pytest.raises(resqued.JobClassError, match="is not a job"):
        wire_name(len)  # type: ignore[arg-type]


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
    target, _ = resolve(name, HERE)
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


def test_perform_of_an_instance_is_refused_with_the_way_out():
    with pytest.raises(resqued.JobClassError, match="staticmethod or a classmethod"):
        target_of(Instance)


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
