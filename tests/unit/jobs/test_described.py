"""What is written of the jobs of an application, and how it is cut into messages."""

from __future__ import annotations

import json

import pytest

import resqued
from resqued.jobs import described
from resqued.jobs.declare import DECLARED
from resqued.jobs.described import described_jobs, in_pages


@resqued.job(queue="mail", name="Described", timeout=60, memory="1M")
def send(user: int, *, text: str = "", **more: object) -> None: ...


@resqued.job(name="DescribedOdd")
def odd() -> None: ...


class DescribedClass:
    queue = "low"

    @staticmethod
    def perform(first: int, second: int) -> None: ...


@pytest.fixture
def about() -> dict[str, dict[str, object]]:
    found = described_jobs((__name__,))
    return {name: json.loads(text) for name, text in found.items()}


def test_a_job_has_its_parameters_its_queue_and_its_limits(about) -> None:
    assert about["Described"] == {
        "parameters": ["user", "text", "more"],
        "queue": "mail",
        "limits": {"runtime": 60.0, "memory": 1 << 20},
    }
    assert about["DescribedOdd"]["queue"] is None
    assert about["DescribedOdd"]["parameters"] == []


def test_a_class_with_perform_is_a_job(about) -> None:
    (name,) = [name for name in about if name.endswith("DescribedClass")]
    assert about[name]["parameters"] == ["first", "second"]
    assert about[name]["queue"] == "low"


def test_what_cannot_be_described_is_left_out(monkeypatch) -> None:
    class Lazy:
        def __getattr__(self, name: str) -> object:
            raise RuntimeError(name)

    monkeypatch.setitem(DECLARED, "Lazy", Lazy())
    assert "Lazy" not in described_jobs(())


def test_of_many_jobs_so_many_are_described(monkeypatch) -> None:
    monkeypatch.setattr(described, "MOST", 1)
    assert len(described_jobs((__name__,))) == 1


def test_descriptions_go_in_messages_that_have_room() -> None:
    jobs = {f"job{number}": "x" * 3_000 for number in range(25)}
    pages = list(in_pages(jobs))
    assert {name: text for page in pages for name, text in page.items()} == jobs
    assert [len(page) for page in pages] == [10, 10, 5]
    assert list(in_pages({})) == []
    assert list(in_pages({"a": "x" * 40_000})) == [{"a": "x" * 40_000}]
