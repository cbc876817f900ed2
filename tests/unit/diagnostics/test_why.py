"""Why a job does not run: which findings follow from which facts, and their order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resqued.core.limits import Limits
from resqued.diagnostics.explain import explain
from resqued.diagnostics.facts import Candidate, Facts, Search
from resqued.diagnostics.import_result import Import
from resqued.store.server_facts import AnsweringServer
from resqued.wire.queue_list import QueueList, parse


def worker(lists: str = "mail", pid: int = 1, **values: object) -> Candidate:
    return Candidate(f"web:{pid}:{lists}", parse(lists), **values)  # type: ignore[arg-type]


def busy(lists: str = "mail", pid: int = 1, **values: object) -> Candidate:
    given = {"job_class": "Slow", "job_queue": "mail", "busy_for": 90.0, **values}
    return worker(lists, pid, state="working", **given)


# A queue with three jobs and an idle worker: all is well.
WELL = Facts("resque", "mail", 3, {"mail": 3, "high": 0}, workers=(worker(),))
MODULES = ("app.jobs",)


def kinds(facts: Facts, *, causes: bool = False) -> list[str]:
    return [f.kind for f in explain(facts) if f.is_cause or not causes]


def text(facts: Facts, kind: str) -> str:
    (found,) = [f for f in explain(facts) if f.kind == kind]
    return f"{found.text}; {found.remedy}"


def details(facts: Facts, kind: str) -> tuple[str, ...]:
    (found,) = [f for f in explain(facts) if f.kind == kind]
    return found.details


CAUSES: dict[str, tuple[Facts, list[str]]] = {
    "all is well": (WELL, []),
    "nothing waits": (replace(WELL, size=0), ["empty"]),
    "no such queue": (
        Facts("resque", "mial", 0, {"mail": 3}, is_known=False, workers=(worker(),)),
        ["no_such_queue", "no_worker"],
    ),
    "a wildcard will serve it when it is there": (
        Facts("resque", "mial", 0, {"mail": 3}, is_known=False, workers=(worker("*"),)),
        ["no_such_queue"],
    ),
    "another namespace has it": (
        replace(WELL, size=0, is_known=False, elsewhere={"app:queue:mail": 7}),
        ["wrong_namespace", "no_such_queue"],
    ),
    "another namespace has one too, but here it is served": (
        replace(WELL, elsewhere={"app:queue:mail": 7}),
        [],
    ),
    "served elsewhere": (
        replace(WELL, workers=(), elsewhere={"app:queue:mail": 7}),
        ["wrong_namespace", "no_worker"],
    ),
    "nobody there": (replace(WELL, workers=()), ["no_worker"]),
    "nobody serves it": (replace(WELL, workers=(worker("high,low"),)), ["no_worker"]),
    "a wildcard serves it": (replace(WELL, workers=(worker("m*"),)), []),
    "all but this one": (replace(WELL, workers=(worker("*,!mail"),)), ["no_worker"]),
    "a wildcard does not see what is in no set": (
        replace(WELL, is_known=False, workers=(worker("*"),)),
        ["not_in_set", "no_worker"],
    ),
    "a plain name sees what is in no set": (
        replace(WELL, is_known=False),
        ["not_in_set"],
    ),
    "paused by the key": (replace(WELL, is_paused=True), ["paused"]),
    "its queue is paused": (replace(WELL, is_queue_paused=True), ["queue_paused"]),
    "paused by the key, as titles tell": (
        replace(WELL, is_paused=True, workers=(worker(is_paused=True),)),
        ["paused"],
    ),
    "its worker is paused": (
        replace(WELL, workers=(worker(is_paused=True),)),
        ["worker_paused"],
    ),
    "its master is paused": (
        replace(WELL, paused_masters=(47,), workers=(worker(is_paused=True),)),
        ["master_paused"],
    ),
    "its master on another host is paused": (
        replace(WELL, paused_elsewhere=("web2:4",), workers=(worker(is_paused=True),)),
        ["master_paused"],
    ),
    "one of two is paused": (
        replace(WELL, workers=(worker(is_paused=True), worker(pid=2))),
        [],
    ),
    "one is paused and the other busy": (
        replace(WELL, workers=(worker(is_paused=True), busy(pid=2))),
        ["all_busy"],
    ),
    "all busy": (replace(WELL, workers=(busy(), busy(pid=2))), ["all_busy"]),
    "one busy, one idle": (replace(WELL, workers=(busy(), worker(pid=2))), []),
    "one busy, one silent": (
        replace(WELL, workers=(busy(), worker(pid=2, state="silent"))),
        ["all_busy"],
    ),
    "dead": (replace(WELL, workers=(worker(state="dead"),)), ["worker_dead"]),
    "silent": (replace(WELL, workers=(worker(state="silent"),)), ["worker_silent"]),
    "unknown": (replace(WELL, workers=(worker(state="unknown"),)), ["worker_unknown"]),
    "starved": (
        replace(WELL, sizes={"mail": 3, "high": 9}, workers=(worker("high,mail"),)),
        ["starved"],
    ),
    "starved by the alphabet": (
        replace(WELL, sizes={"mail": 3, "high": 9}, workers=(worker("*"),)),
        ["starved"],
    ),
    "an earlier queue that is empty starves nobody": (
        replace(WELL, workers=(worker("high,mail"),)),
        [],
    ),
    "a later queue starves nobody": (
        replace(WELL, sizes={"mail": 3, "high": 9}, workers=(worker("mail,high"),)),
        [],
    ),
    "one of two is starved": (
        replace(
            WELL,
            sizes={"mail": 3, "high": 9},
            workers=(worker("high,mail"), worker(pid=2)),
        ),
        [],
    ),
    "not declared": (
        replace(WELL, imported=Import(MODULES, class_error="X is no job")),
        ["not_declared"],
    ),
    "can be imported and has the class": (
        replace(WELL, imported=Import(MODULES, declared=("Send",))),
        [],
    ),
    "a wildcard that does not see it starves nobody": (
        Facts(
            "resque",
            "mail",
            3,
            {"high": 9},
            workers=(worker("*"), worker("high,mail", pid=2)),
        ),
        [],
    ),
    "cannot be imported, and nobody has it loaded": (
        replace(WELL, workers=(), imported=Import(MODULES, error="SyntaxError")),
        ["no_worker", "not_importable"],
    ),
    "cannot be imported, but is loaded": (
        replace(WELL, imported=Import(MODULES, error="SyntaxError")),
        [],
    ),
    "a class that is not there": (
        replace(WELL, search=Search("Mail", None, 3)),
        ["not_seen"],
    ),
    "everything at once": (
        replace(
            WELL,
            is_paused=True,
            sizes={"mail": 3, "high": 9},
            workers=(busy("high,mail"),),
            imported=Import(MODULES, class_error="X is no job"),
        ),
        ["paused", "not_declared", "all_busy", "starved"],
    ),
}


@pytest.mark.parametrize("name", CAUSES)
def test_causes_most_decisive_first(name: str) -> None:
    facts, expected = CAUSES[name]
    assert kinds(facts, causes=True) == expected


@pytest.mark.parametrize("name", CAUSES)
def test_it_should_run_exactly_if_nothing_is_in_the_way(name: str) -> None:
    facts, expected = CAUSES[name]
    assert ("should_run" in kinds(facts)) == (not expected)


@pytest.mark.parametrize("name", CAUSES)
def test_causes_come_first_and_each_has_a_way_out(name: str) -> None:
    found = explain(CAUSES[name][0])
    assert [f.is_cause for f in found] == sorted(f.is_cause for f in found)[::-1]
    assert all(f.remedy for f in found if f.is_cause)
    assert all("\n" not in f.text + f.remedy for f in found)


def test_what_should_run_says_how_many_are_ahead_and_when_the_next_look_is() -> None:
    facts = replace(WELL, search=Search("Mail", 2, 2))
    assert text(facts, "should_run").startswith(
        "it should run: 2 jobs ahead of it, 1 worker idle; the next look is within 5s"
    )
    assert "2 jobs ahead of the last one" in text(WELL, "should_run")


def test_names_that_are_near_are_suggested() -> None:
    for name in ("mial", "Mail", "mails"):
        facts = Facts("resque", name, 0, {"mail": 3, "archive": 1}, is_known=False)
        assert text(facts, "no_such_queue").endswith("; did you mean mail?")
    facts = Facts("resque", "zzz", 0, {"mail": 3}, is_known=False)
    assert text(facts, "no_such_queue").endswith("; `resqued queues` lists them")


def test_the_busy_are_told_oldest_first() -> None:
    workers = tuple(busy(pid=n, busy_for=10.0 * n) for n in range(1, 6))
    facts = replace(WELL, workers=workers)
    assert text(facts, "all_busy").startswith(
        "all 5 workers that serve mail are working;"
    )
    assert details(facts, "all_busy") == (
        "web:5:mail with Slow of mail for 50s",
        "web:4:mail with Slow of mail for 40s",
        "web:3:mail with Slow of mail for 30s",
        "and 2 more",
    )


def test_a_job_whose_age_is_not_known_is_told_without() -> None:
    facts = replace(WELL, workers=(busy(busy_for=None),))
    assert text(facts, "all_busy").startswith(
        "the only worker that serves mail is working;"
    )
    assert details(facts, "all_busy") == ("web:1:mail with Slow of mail",)


def test_earlier_queues_are_told_largest_first_with_their_sizes() -> None:
    sizes = {"a": 1, "b": 50, "mail": 3, "z": 9}
    told = text(replace(WELL, sizes=sizes, workers=(worker("a,b,mail,z"),)), "starved")
    assert "as far as their ids tell: b (50 jobs), a (1 job);" in told
    exact = worker("a,b,mail,z", is_whole=True)
    told = text(replace(WELL, sizes=sizes, workers=(exact,)), "starved")
    assert "first: b (50 jobs)" in told


def test_an_id_with_rubbish_in_its_list_serves_nothing() -> None:
    odd = Candidate("web", QueueList(()))
    assert kinds(replace(WELL, workers=(odd,)), causes=True) == ["no_worker"]


def test_who_has_a_pool_is_told_to_start_it() -> None:
    facts = replace(WELL, workers=(), pools=(parse("high,ma*"),))
    assert "start or reload its master" in text(facts, "no_worker")


def test_limits_and_those_they_ended_are_told_and_are_no_causes() -> None:
    facts = replace(
        WELL,
        allowed=(Limits(900.0, 512 << 20), Limits(0.0, 0)),
        ended={"JobTimeout": 4},
        failed=6,
    )
    assert kinds(facts) == ["should_run", "limits", "ended_by_limit", "failed"]
    assert "ended after 15m00s and above 512 MB" in text(facts, "limits")
    assert "JobTimeout (4)" in text(facts, "ended_by_limit")


def test_a_job_that_runs_already_is_told() -> None:
    facts = replace(WELL, workers=(busy(), worker(pid=2)))
    assert text(facts, "running").startswith("1 job of it is running now")
    assert details(facts, "running") == ("Slow in web:1:mail for 1m30s",)
    other = replace(facts, search=Search("Mail", 0, 0))
    assert "running" not in kinds(other)


def test_what_could_not_be_looked_at_is_said() -> None:
    facts = replace(WELL, workers=(), unseen="NOPERM")
    assert "NOPERM" in text(facts, "not_checked")
    facts = replace(WELL, unread={"mail": 9})
    assert "9 of mail" in text(facts, "not_checked")
    facts = replace(WELL, search=Search("Mail", 0, 0), untried="--no-import")
    assert "--no-import" in text(facts, "not_checked")


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (AnsweringServer(), ""),
        (AnsweringServer("h:1", "primary"), ""),
        (AnsweringServer("h:1", "primary", is_found=True), "h:1, the primary, has"),
        (AnsweringServer("h:1", "", is_found=True), "h:1, a server of unknown role,"),
        (AnsweringServer("h:1", "replica"), "a replica, h:1, has answered"),
    ],
)
def test_the_server_that_answered_is_named_where_the_url_does_not(
    server: AnsweringServer, said: str
) -> None:
    facts = replace(WELL, server=server)
    assert ("server" in kinds(facts)) == bool(said)
    assert not said or said in text(facts, "server")
    assert "server" not in kinds(facts, causes=True)


def test_a_replica_on_which_no_worker_is_registered_is_the_first_cause() -> None:
    facts = replace(WELL, server=AnsweringServer("h:1", "replica"), workers=())
    first = explain(facts)[0]
    assert (first.kind, first.is_cause) == ("server", True)
    assert first.remedy == "name the primary in [redis] url"
