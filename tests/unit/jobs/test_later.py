"""Methods of objects as jobs: declared, enqueued, and found again."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

import resqued
from resqued.hooks.hook_kinds import REGISTERED
from resqued.jobs.lookup import resolve
from resqued.wire import calls
from tests.support.django_site import configure_django

HERE = __name__


class Recorder(resqued.Client):
    """A client that notes what it would put on queues."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:1")
        self.put: list[tuple[str, dict[str, Any]]] = []

    def _put(self, queue: str, job: Any, args: Any, kwargs: Any) -> bool:
        text = calls.encode(job, args, kwargs, 1 << 20)
        self.put.append((queue, json.loads(text)))
        return True


@pytest.fixture
def client() -> Recorder:
    return Recorder()


@resqued.allow_later(methods=("send_invoice", "wait"), queue="mail", timeout="5m")
class Account:
    known: ClassVar[dict[int, Account]] = {}

    def __init__(self, number: int | None) -> None:
        self.id = number
        self.sent: list[tuple[Any, ...]] = []
        if number is not None:
            self.known[number] = self

    @classmethod
    def find(cls, number: int) -> Account | None:
        return cls.known.get(number)

    def send_invoice(self, number: int, copies: int = 1, note: str = "") -> None:
        self.sent.append((number, copies, note))

    async def wait(self) -> None:
        await asyncio.sleep(0)
        self.sent.append(("waited",))

    @resqued.allow_later(queue="low")
    def close(self) -> None:
        self.sent.append(("closed",))

    def delete(self) -> None:
        raise AssertionError("nothing may call it later")


def crop(path: str, width: int = 640) -> str:
    return f"{path} {width}"


resqued.allow_later(crop, queue="images")


def other() -> None: ...


# Producers


def test_a_payload_has_the_path_of_the_method_the_id_and_the_arguments(
    client: Recorder,
) -> None:
    account = Account(7)
    assert resqued.later(account, client=client).send_invoice(42, note="late") is True
    job = {"class": f"{HERE}.Account.send_invoice", "args": [7, 42, 1, "late"]}
    assert client.put == [("mail", job)]


def test_a_method_may_be_given_itself(client: Recorder) -> None:
    resqued.later(Account(7).send_invoice, client=client)(42)
    assert client.put[0][1]["args"] == [7, 42]


def test_a_marked_method_has_options_of_its_own(client: Recorder) -> None:
    resqued.later(Account(7), client=client).close()
    assert client.put == [("low", {"class": f"{HERE}.Account.close", "args": [7]})]


def test_the_queue_of_a_call_goes_before_that_of_the_class(client: Recorder) -> None:
    resqued.later(Account(7), client=client, queue="high").send_invoice(1)
    resqued.later(crop, client=client, queue="high")("a.jpg")
    assert [queue for queue, _ in client.put] == ["high", "high"]


def test_a_function_is_called_later_and_stays_plain(client: Recorder) -> None:
    assert crop("a.jpg") == "a.jpg 640"
    resqued.later(crop, client=client)("a.jpg", width=80)
    job = {"class": f"{HERE}.crop", "args": ["a.jpg", 80]}
    assert client.put == [("images", job)]


def test_options_are_those_of_a_job() -> None:
    _, limits, _ = resolve(f"{HERE}.Account.send_invoice", ())
    assert limits.runtime == 300


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: resqued.later(Account(7)).delete(), "only send_invoice, wait, close"),
        (lambda: resqued.later(Account(7))._private(), "_private may not be called"),
        (
            lambda: resqued.later(Account).send_invoice(1),
            "an object, and not the class",
        ),
        (lambda: resqued.later(object()).delete(), "builtins.object may not be called"),
        (lambda: resqued.later(Account.close), "later takes its object, as in later("),
        (lambda: resqued.later(other), "resqued.allow_later(other, queue=…)"),
        (lambda: resqued.later(Account(7).delete), "delete may not be called later"),
    ],
)
def test_what_is_not_allowed_is_refused_when_it_is_enqueued(
    call: Any, said: str
) -> None:
    with pytest.raises(resqued.JobClassError) as error:
        call()
    assert said in str(error.value)


def test_wrong_calls_are_refused(client: Recorder) -> None:
    with pytest.raises(resqued.ArgumentError, match="the object has no id yet"):
        resqued.later(Account(None), client=client).send_invoice(1)
    with pytest.raises(
        resqued.ArgumentError, match=r"takes \(object_id, /, number, copies"
    ):
        resqued.later(Account(7), client=client).send_invoice()
    with pytest.raises(resqued.ArgumentError, match="delay or at"):
        resqued.later(Account(7), delay="1m", at=datetime.now(UTC))
    assert client.put == []


def test_inline_runs_the_method_at_once_with_hooks_and_arguments_of_json(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account, seen = Account(9), []

    def note(job: resqued.JobInfo) -> None:
        seen.append((job.queue, job.class_name, job.args))

    monkeypatch.setitem(REGISTERED, "before_perform", [note])
    with resqued.configure(inline=True):
        assert resqued.later(account).send_invoice((1, 2), note="x") is True
        assert resqued.later(account, delay="1h").close() is True
        assert resqued.later(account).wait() is True
    assert account.sent == [([1, 2], 1, "x"), ("closed",), ("waited",)]
    assert seen[0] == ("mail", f"{HERE}.Account.send_invoice", (9, [1, 2], 1, "x"))


def test_a_job_can_be_called_later_as_functions_can(client: Recorder) -> None:
    job = resqued.job(queue="low", name="Sent")(lambda number: None)
    resqued.later(job, client=client)(5)
    assert client.put == [("low", {"class": "Sent", "args": [5]})]


def test_an_id_that_json_cannot_hold_is_refused_with_the_way_out(
    client: Recorder,
) -> None:
    account = Account(7)
    account.id = uuid.UUID(int=7)  # type: ignore[assignment]
    with pytest.raises(
        resqued.ArgumentError, match=r"id .* is a UUID.* str.*identity="
    ):
        resqued.later(account, client=client).close()


def test_an_async_find_is_refused_where_it_is_declared() -> None:
    async def find(number: int) -> None: ...

    with pytest.raises(resqued.JobClassError, match="find is async def"):
        resqued.allow_later(Unfound, methods=["run"], find=find)


# Declarations


class Unfound:
    def run(self) -> None: ...


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: resqued.allow_later(Unfound, methods=["run"]), "no class method find"),
        (lambda: resqued.allow_later(Unfound, methods="run"), "the text 'run'"),
        (lambda: resqued.allow_later(Unfound), "has no methods to be called later"),
        (lambda: resqued.allow_later(Unfound, methods=["_run"]), "its name is private"),
        (lambda: resqued.allow_later(Unfound, methods=["__init__"]), "is private"),
        (lambda: resqued.allow_later(Unfound, methods=["nope"]), "is no method of an"),
        (lambda: resqued.allow_later(5), "5 may not be called later"),  # type: ignore
    ],
)
def test_what_cannot_be_called_later_is_refused_where_it_is_declared(
    declare: Any, said: str
) -> None:
    if "find" not in said:
        Unfound.find = classmethod(lambda cls, number: cls())  # type: ignore
    try:
        with pytest.raises(resqued.JobClassError) as error:
            declare()
    finally:
        Unfound.__dict__.get("find") and delattr(Unfound, "find")
    assert said in str(error.value)


# Workers


def perform(name: str, *args: object) -> Any:
    target, _, _ = resolve(f"{HERE}.{name}", (HERE,))
    return target(*args)


def test_the_object_is_found_by_its_id_and_its_method_called() -> None:
    account = Account(8)
    perform("Account.send_invoice", 8, 42)
    asyncio.run(perform("Account.wait", 8))
    assert account.sent == [(42, 1, ""), ("waited",)]


def test_an_object_that_is_gone_is_an_error_that_names_it() -> None:
    with pytest.raises(resqued.ObjectNotFoundError, match=r"Account 404 was not found"):
        perform("Account.send_invoice", 404, 42)


@pytest.mark.parametrize("name", ["Account.delete", "Account.find", "other", "Account"])
def test_a_payload_can_name_nothing_else(name: str) -> None:
    with pytest.raises(resqued.JobClassError, match="not a job of this application"):
        perform(name, 8)


def test_find_may_be_a_context_manager_that_has_the_object_for_the_call() -> None:
    steps: list[object] = []

    class Row:
        id = "a"

        def work(self) -> None:
            steps.append(self)

    @contextmanager
    def find(identity: str) -> Iterator[Row]:
        steps.append(identity)
        yield Row()
        steps.append("closed")

    Row.__qualname__ = "Row"
    resqued.allow_later(Row, methods=("work",), find=find, queue="low")
    perform("Row.work", "a")
    assert [steps[0], steps[2]] == ["a", "closed"]
    assert isinstance(steps[1], Row)


# Django and SQLAlchemy


def test_models_of_django_are_found_by_their_keys(client: Recorder) -> None:
    configure_django()
    from django.db import connection, models

    class Invoice(models.Model):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        lines = models.IntegerField(default=0)

        class Meta:
            app_label = "shop"

        def add(self, count: int) -> None:
            self.lines += count
            self.save()

    Invoice.__qualname__ = "Invoice"
    resqued.allow_later(Invoice, methods=("add",), queue="low")
    with connection.schema_editor() as editor:
        editor.create_model(Invoice)
    invoice = Invoice.objects.create()
    resqued.later(invoice, client=client).add(3)
    (_, job) = client.put[0]
    assert job["args"] == [str(invoice.pk), 3]
    perform("Invoice.add", *job["args"])
    assert Invoice.objects.get().lines == 3
    with pytest.raises(Invoice.DoesNotExist):
        perform("Invoice.add", str(uuid.uuid4()), 3)


def test_models_of_sqlalchemy_are_found_in_a_session(client: Recorder) -> None:
    orm = pytest.importorskip("sqlalchemy.orm")
    sql = pytest.importorskip("sqlalchemy")

    class Base(orm.DeclarativeBase):
        pass

    class Seat(Base):
        __tablename__ = "seats"
        row = orm.mapped_column(sql.Integer, primary_key=True)
        place = orm.mapped_column(sql.String, primary_key=True)
        guest = orm.mapped_column(sql.String, default="")

        def reserve(self, guest: str) -> None:
            self.guest = guest
            assert guest, "a guest has a name"

    engine = sql.create_engine("sqlite://", poolclass=sql.pool.StaticPool)
    Base.metadata.create_all(engine)
    Session = orm.sessionmaker(engine)
    Seat.__qualname__ = "Seat"
    resqued.allow_later(Seat, methods=("reserve",), session=Session, queue="low")
    with Session.begin() as session:
        session.add(Seat(row=3, place="a"))
    with Session() as session:
        resqued.later(session.get(Seat, (3, "a")), client=client).reserve("Ada")
    (_, job) = client.put[0]
    assert job["args"] == [[3, "a"], "Ada"]
    perform("Seat.reserve", *job["args"])
    with pytest.raises(AssertionError, match="a guest has a name"):
        perform("Seat.reserve", [3, "a"], "")
    with Session() as session:
        assert session.get(Seat, (3, "a")).guest == "Ada"
    with pytest.raises(resqued.ObjectNotFoundError):
        perform("Seat.reserve", [4, "a"], "Ada")
    with pytest.raises(resqued.ArgumentError, match="no id yet"):
        resqued.later(Seat(), client=client).reserve("Ada")


@pytest.mark.parametrize(
    "target", [print, os.system, functools.partial(print, 1)], ids=str
)
def test_what_is_no_function_of_a_module_is_refused_by_name(target: object) -> None:
    with pytest.raises(resqued.errors.JobClassError, match="is no function that can"):
        resqued.later(target)(1)  # type: ignore[operator]
