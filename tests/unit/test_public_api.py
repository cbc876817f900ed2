"""What an application may use: listed once, documented, and the same everywhere.

`__all__`, the README and the docstrings are held together; so are the functions of the
package and the methods of Client. All exceptions of the package are looked at.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import inspect
import re
import typing
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import resqued
from resqued import errors
from resqued.scheduler.delayed_client import DelayedClient
from resqued.store.queue_client import QueueClient

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "resqued"

# What the package needs for its signatures: no part of what it offers.
HELPERS = {"Any", "AnyJob", "Arguments", "ClassJob", "FunctionJob", "Iterable", "P"}
HELPERS |= {"datetime", "ParamSpec", "VERSION", "annotations", "overload"}

# Exceptions that are no error of the package's callers, and stand beside their raiser.
CONTROL_FLOW = {
    "BadMessageError": "what it says is answered, or raised as a ControlError",
    "LineTooLongError": "a finding of the reader of lines; each caller words its error",
    "ChannelClosed": "end of file between two processes; each reader ends by it",
    "Interrupted": "a signal ends the demo: no `except Exception` may stop it",
    "JobTerminated": "a signal ends a job: no `except Exception` may stop it",
    "TaskLostError": "another process runs the task; the thread ends",
    "TaskOrderedError": "a user has paused or stopped the task; its steps end",
    "Unencodable": "a finding; those who encode make an ArgumentError of it",
    "_Leaving": "an order ends a deliverer; a back end may raise SystemExit itself",
    "_ReaderGone": "nobody reads what a command prints; the command ends",
}
# Errors that never leave the command, or the part of the package, that raises them.
BESIDE_THEIR_RAISER = {
    "ListenError",
    "ApplicationError",
    "DemoError",
    "OptionsError",
    "SeenNothingError",
    "SeveralMastersError",
    "RemoteMasterError",
    "ScriptUnknownError",
    "UnitError",
    "DisconnectedError",
    "ForbiddenError",
    "ForeignMasterError",
    "NotPrimaryError",
    "RefusedError",
    "UnwellError",
    "WritesRefusedError",
    "WrongScheduleError",
}

RECORDS = [resqued.Info, resqued.Payload, resqued.RunningJob, resqued.Status]
RECORDS += [resqued.Worker, resqued.Failure, resqued.FailureFilter]
RECORDS += [resqued.BulkProgress, resqued.DelayedJob, resqued.JobInfo]

# Words for which there is a plainer one.
UNPLAIN = re.compile(r"\b(whoever|whatever|whenever|anew|told|heed|till|mend)\b", re.I)

functions = [
    name for name in resqued.__all__ if inspect.isfunction(getattr(resqued, name))
]
classes = [name for name in resqued.__all__ if inspect.isclass(getattr(resqued, name))]
values = {"__version__", "Duration", "Size"}
modules = {"hook", "plugin"}


def members(owner: type) -> dict[str, object]:
    """The public methods and properties of a class, without those that it inherits."""
    return {
        name: member
        for name, member in vars(owner).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, property | classmethod))
    }


OF_CLIENT = members(DelayedClient) | members(QueueClient) | members(resqued.Client)


def test_every_name_is_listed_once_and_in_order() -> None:
    assert list(resqued.__all__) == sorted(set(resqued.__all__))
    named = {*functions, *classes, *values, *modules}
    assert set(resqued.__all__) == named


def test_nothing_public_is_left_out() -> None:
    there = {
        name
        for name, value in vars(resqued).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert there - HELPERS == set(resqued.__all__) - {"__version__"} - modules


def test_job_is_the_function_and_no_module() -> None:
    assert inspect.isfunction(resqued.job)


@pytest.mark.parametrize("name", [*functions, *classes])
def test_everything_public_has_a_docstring(name: str) -> None:
    public = getattr(resqued, name)
    assert inspect.getdoc(public)
    of_class = members(public) if inspect.isclass(public) else {}
    assert not [member for member in of_class if not inspect.getdoc(of_class[member])]


@pytest.mark.parametrize("name", [*functions, *classes])
def test_public_docstrings_are_plain(name: str) -> None:
    public = getattr(resqued, name)
    texts = [inspect.getdoc(public) or ""]
    if inspect.isclass(public):
        texts += [inspect.getdoc(member) or "" for member in members(public).values()]
        texts += fields_of(public).values() if public in RECORDS else []
    assert not [text for text in texts if UNPLAIN.search(text)]


@pytest.mark.parametrize("name", functions)
def test_errors_that_docstrings_name_exist(name: str) -> None:
    text = inspect.getdoc(getattr(resqued, name)) or ""
    named = set(re.findall(r"\b[A-Z]\w+Error\b", text))
    assert named <= set(resqued.__all__)


# What a function of the package does, the method of Client does


@pytest.mark.parametrize("name", sorted({*functions} & {*OF_CLIENT}))
def test_a_function_is_the_method_of_client(name: str) -> None:
    function, method = getattr(resqued, name), getattr(resqued.Client, name)
    assert inspect.getdoc(function) == inspect.getdoc(method)
    _, *parameters = inspect.signature(method).parameters.values()
    assert [*inspect.signature(function).parameters.values()] == parameters


def test_functions_without_a_method_are_few() -> None:
    others = {*functions} - {*OF_CLIENT}
    # `failures` and `delayed` are attributes of Client.
    assert others == {
        *("configure", "default_client", "failures", "delayed"),
        *("job", "every", "cron", "current_job", "later", "allow_later"),
    }
    made_alike = inspect.signature(resqued.Client).parameters
    assert inspect.signature(resqued.configure).parameters == made_alike


# Records


@cache
def fields_of(record: type) -> dict[str, str]:
    """The fields of a record, each with the text that stands below it in the source."""
    module = ast.parse(Path(inspect.getsourcefile(record) or "").read_text("utf-8"))
    (node,) = (
        one
        for one in module.body
        if isinstance(one, ast.ClassDef) and one.name == record.__name__
    )
    found: dict[str, str] = {}
    for one, after in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            is_text = isinstance(after, ast.Expr) and isinstance(
                after.value, ast.Constant
            )
            found[one.target.id] = str(after.value.value) if is_text else ""
    return found


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_of_a_record_is_documented(record: type) -> None:
    # `position` is for the list of failures alone.
    private = {"position"} if record is resqued.Failure else set()
    names = {field.name for field in dataclasses.fields(record)}
    assert {name for name, text in fields_of(record).items() if not text} == {
        name for name in names if name.startswith("_") or name in private
    }
    assert set(fields_of(record)) == names


@pytest.mark.parametrize("record", [r for r in RECORDS if r is not resqued.Payload])
def test_records_do_not_change(record: type) -> None:
    assert record.__dataclass_params__.frozen


def test_records_of_commands_have_the_names_of_their_json() -> None:
    then = datetime(2026, 11, 27, 22, 58, 27, tzinfo=UTC)
    text = "2026-11-27T22:58:27Z"
    job = resqued.RunningJob("low", "Archive", (44, {"a": [1]}), then, text)
    assert job.as_dict() == {
        "queue": "low",
        "class": "Archive",
        "args": [44, {"a": [1]}],
        "run_at": "2026-11-27T22:58:27Z",
    }
    texts = ("2026-11-27 23:58:27 +0100", "2026-11-27T22:58:27+00:00")
    worker = resqued.Worker(
        "host:7:low", "host", 7, ("low",), "working", job, then, then, 2, 1, *texts
    )
    names = [field.name for field in dataclasses.fields(worker)]
    assert list(worker.as_dict()) == [name for name in names if name[0] != "_"]
    assert (worker.as_dict()["started"], worker.as_dict()["heartbeat"]) == texts
    assert worker.as_dict()["job"] == job.as_dict()
    info = resqued.Info(1, 2, 3, 4, 5, 6, 7)
    assert list(info.as_dict().items()) == [
        ("pending", 1),
        ("processed", 2),
        ("failed", 3),
        ("failures", 4),
        ("queues", 5),
        ("workers", 6),
        ("working", 7),
    ]


def test_the_states_of_a_worker_are_documented() -> None:
    states = typing.get_args(typing.get_type_hints(resqued.Worker)["state"])
    text = fields_of(resqued.Worker)["state"]
    assert set(re.findall(r"`(\w+)`", text)) == set(states)


# Errors


@cache
def exceptions() -> dict[str, tuple[str, set[str]]]:
    """Every exception of the package: its module, and all that it derives from."""
    bases: dict[str, tuple[str, list[str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                names = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                bases[node.name] = (str(path.relative_to(PACKAGE)), names)

    def above(name: str) -> set[str]:
        if name in bases:
            _, names = bases[name]
            return {name}.union(*map(above, names))
        builtin = getattr(builtins, name, object)
        mro = inspect.getmro(builtin) if inspect.isclass(builtin) else ()
        return {one.__name__ for one in mro}

    return {
        name: (module, above(name))
        for name, (module, _) in bases.items()
        if "BaseException" in above(name)
    }


def test_every_exception_is_an_error_of_ours_or_has_a_reason() -> None:
    others = {
        name
        for name, (_, above) in exceptions().items()
        if "ResquedError" not in above and not above & {"JobTerminated"} - {name}
    }
    assert others == set(CONTROL_FLOW)


def test_errors_that_callers_get_stand_in_one_module() -> None:
    here = {name for name, (module, _) in exceptions().items() if module == "errors.py"}
    assert {*errors.__all__} == here | {"ExitCode"}
    elsewhere = set(exceptions()) - here
    assert elsewhere == BESIDE_THEIR_RAISER | set(CONTROL_FLOW) - {"JobTerminated"}


def test_wrong_values_are_errors_of_python_too() -> None:
    assert issubclass(resqued.ArgumentError, TypeError)
    assert issubclass(resqued.JobClassError, ValueError)
    assert issubclass(resqued.QueueNameError, resqued.JobClassError)
    assert issubclass(resqued.PayloadError, ValueError)
    assert not issubclass(resqued.JobTerminated, Exception)


NO_QUEUES = ["", None, b"low", 5]


@pytest.mark.parametrize("queue", NO_QUEUES, ids=repr)
def test_what_is_no_name_of_a_queue_is_refused(queue: typing.Any) -> None:
    client = resqued.Client("redis://127.0.0.1:1")
    calls = [
        lambda: client.enqueue_to(queue, "Archive"),
        lambda: client.push(queue, 1),
        lambda: client.pop(queue),
        lambda: client.peek(queue),
        lambda: client.reserve(queue),
        lambda: client.size(queue),
        lambda: client.remove_queue(queue),
    ]
    if queue is not None:
        calls += [
            lambda: client.dequeue("Archive", queue=queue),
            lambda: client.enqueue_many([("Archive", 1)], queue=queue),
        ]
    for call in calls:
        with pytest.raises(resqued.QueueNameError):
            call()


@pytest.mark.parametrize("url", [5, b"redis://localhost", object], ids=repr)
def test_a_url_that_is_no_text_is_refused(url: typing.Any) -> None:
    with pytest.raises(resqued.ConfigError, match="must be a str"):
        resqued.Client(url)


# The README


def test_the_readme_says_what_is_public() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    library = text.partition("\n## The library\n")[2].partition("\n## ")[0]
    assert "All others are private" in " ".join(library.split())
    for name in (*functions, *classes):
        assert re.search(rf"\b{name}\b", library), name
