"""The protocol of the control socket: a type for each request and each reply.

For both ends, the master and the commands. A message is one line of JSON. `do` names
the request; `ok` of a reply is false for an ErrorReply, and true for all others. A
field that has its default value is not sent.

A master refuses a request with a field that it does not know. If it ignored the field,
it might do more than was asked: `children` spares jobs. A command ignores unknown
fields of a reply, because the master may be of a newer version.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Generic, NoReturn, TypeVar, cast, get_args

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field

# Replies


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reply; this type alone means that the request was carried out."""


class ErrorReply(Reply, frozen=True, kw_only=True):
    """The request was refused or failed.

    `generation` is that of a failed reload, None if no reload began.
    """

    generation: int | None = None
    error: str


class ReloadResult(Struct, frozen=True, kw_only=True):
    """The result of the last reload; an empty error means success."""

    generation: int
    error: str


class PoolJob(Struct, frozen=True, kw_only=True):
    """The job that a worker runs."""

    queue: str
    class_name: str = field(name="class")


class JobLimits(Struct, frozen=True, kw_only=True):
    """The limits of a running job, in seconds and bytes; None and 0: no limit."""

    runtime: float | None
    memory: int | None


# The limits of a worker that runs no job: the field is then not sent.
NO_JOB: UnsetType = UNSET


class PoolWorker(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One worker of a master.

    `since` is how many seconds the worker has been in its phase. `child` and `job` are
    those of a running job. `limits` is NO_JOB without a job, and None until the child
    has written them. `cpu`, in seconds, and `memory`, in bytes, exist if the request
    asked for them: those of the job with all its processes, or of an idle worker.
    """

    id: str
    pid: int | None
    queues: str
    namespace: str = ""
    generation: int
    phase: str
    quits: bool
    since: float | None
    done: int
    failed: int
    child: int | None
    job: PoolJob | None
    limits: JobLimits | UnsetType | None = NO_JOB
    cpu: float | None = None
    memory: int | None = None


class NamespaceStatus(Struct, frozen=True, kw_only=True):
    """A namespace that a master serves, and the wanted workers by queue list there.

    `primary` is the address of the primary that has it, if sentinels or a cluster
    choose that. `redis_error` is why the master cannot use Redis for it; "" if it can.
    """

    namespace: str
    pools: dict[str, int]
    primary: str = ""
    redis_error: str = ""


class StatusReply(Reply, frozen=True, kw_only=True):
    """A master and its workers; `since` is how many seconds the master has run.

    `redis` is the URL of its server, without the password; `primary` is the address of
    the primary, if sentinels or a cluster choose it and it is the same for all
    namespaces. `namespace` is the default one; an older master sends no `namespaces`.
    `redis_error` is why the
    master cannot use its Redis, `spawn_error` why it cannot order workers; "" if it
    can.
    """

    pid: int
    state: str
    is_paused: bool
    generation: int
    is_reloading: bool
    last_reload: ReloadResult | None
    since: float
    redis: str = ""
    primary: str = ""
    namespace: str
    modules: tuple[str, ...]
    # The wanted number of workers by queue list, in all namespaces together.
    pools: dict[str, int]
    namespaces: tuple[NamespaceStatus, ...] = ()
    workers: tuple[PoolWorker, ...]
    redis_error: str = ""
    spawn_error: str = ""


class StackReply(Reply, frozen=True, kw_only=True):
    """The stacks of a job, as lines, with the worker's id and the child's pid."""

    worker: str
    child: int
    stack: tuple[str, ...]


class KillReply(Reply, frozen=True, kw_only=True):
    """The workers whose jobs are being ended, in their state before that."""

    ended: tuple[PoolWorker, ...]


class ScaleReply(Reply, frozen=True, kw_only=True):
    """The wanted number of workers of a queue list, now and before the request."""

    queues: str
    before: int
    workers: int


class DrainReply(Reply, frozen=True, kw_only=True):
    """The pool is paused; `after` is how long the request waited for the jobs."""

    after: str | None = None


class ReloadReply(Reply, frozen=True, kw_only=True):
    """The generation that a reload has begun; with an empty error, also completed."""

    generation: int
    error: str | None = None


# Requests

R_co = TypeVar("R_co", bound=Reply, covariant=True)


class Request(
    Struct,
    Generic[R_co],
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="do",
    tag=lambda name: name.removesuffix("Request").lower(),
):
    """A request that is answered by a reply of the type R_co."""


class StatusRequest(Request[StatusReply], frozen=True, kw_only=True):
    """Ask for the status of a master; with `usage` also for CPU time and memory."""

    usage: bool = False


class StackRequest(Request[StackReply], frozen=True, kw_only=True):
    """Ask for the stacks of a job; `who` is a worker's id or pid, or a child's pid."""

    who: str | int


class KillRequest(Request[KillReply], frozen=True, kw_only=True):
    """End the job of one worker, or all that have run for more than `older` seconds.

    `children` restricts the latter to jobs of these children, so that only jobs that a
    person has seen and confirmed are ended.
    """

    who: str | int | None = None
    older: Annotated[float, Meta(ge=0)] | None = None
    children: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if (self.who is None) == (self.older is None):
            raise ValueError("expected either `who` or `older`")


class PauseRequest(Request[Reply], frozen=True, kw_only=True):
    """Take no new jobs."""


class ResumeRequest(Request[Reply], frozen=True, kw_only=True):
    """Take jobs again."""


class ReopenRequest(Request[Reply], frozen=True, kw_only=True):
    """Reopen the log file in all processes, without a reload."""


class DrainRequest(Request[DrainReply], frozen=True, kw_only=True):
    """Take no new jobs; with `wait` the reply comes when none is running."""

    wait: bool = False


class ScaleRequest(Request[ScaleReply], frozen=True, kw_only=True):
    """Set the wanted number of workers; a text with a sign changes the present number.

    `queues` is the queue list of the pool; it may be None if the master has one pool.
    `namespace` may be None if only one pool has the queue list.
    """

    queues: str | None = None
    namespace: str | None = None
    workers: int | Annotated[str, Meta(pattern=r"^[+-]?[0-9]{1,9}\Z")]


class ReloadRequest(Request[ReloadReply], frozen=True, kw_only=True):
    """Move to a new generation; with `wait` the reply has the result.

    With `master` the program of the master is replaced first, and the reply waits.
    """

    wait: bool = False
    master: bool = False


AnyRequest = (
    StatusRequest
    | StackRequest
    | KillRequest
    | PauseRequest
    | ResumeRequest
    | DrainRequest
    | ScaleRequest
    | ReloadRequest
    | ReopenRequest
)
ORDERS: dict[str, type[AnyRequest]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyRequest)
}


def is_awaited(request: Request[Reply]) -> bool:
    """Return True if the reply waits for an event, without a time limit."""
    match request:
        case DrainRequest():
            return request.wait
        case ReloadRequest():
            return request.wait or request.master
        case _:
            return False


# From lines and to lines


class BadMessageError(ValueError):
    """A line that is not a valid request or reply; the text describes the fault."""


def as_dict(message: object) -> dict[str, Any]:
    """Return a message, or a part of one, as the object that is sent."""
    values: dict[str, Any] = msgspec.to_builtins(message)
    return values


def encode_request(request: Request[Reply]) -> bytes:
    """Return the line of a request."""
    return _encode(as_dict(request))


def encode_reply(reply: Reply) -> bytes:
    """Return the line of a reply."""
    return _encode({"ok": not isinstance(reply, ErrorReply), **as_dict(reply)})


def decode_request(line: bytes) -> AnyRequest:
    """Return the request of a line; raise BadMessageError."""
    values = _decode(line)
    order = values.get("do")
    if order not in tuple(ORDERS):
        fault = "`do` is missing" if order is None else f"no order is {order!r:.40}"
        raise BadMessageError(f"{fault}; this master knows {', '.join(ORDERS)}")
    return _convert(values, ORDERS[order], order)


def decode_reply(line: bytes, request: Request[R_co]) -> R_co | ErrorReply:
    """Return the reply of a line to a request; raise BadMessageError."""
    values = _decode(line)
    is_ok = values.pop("ok", None)
    if not isinstance(is_ok, bool):
        raise BadMessageError("the reply has no `ok` that is true or false")
    if not is_ok:
        return _convert(values, ErrorReply, "reply")
    # The argument of Request in the class of this one.
    (base,) = type(request).__orig_bases__  # type: ignore[attr-defined]
    (kind,) = get_args(base)
    return cast("R_co", _convert(values, kind, "reply"))


M = TypeVar("M")


def _convert(values: dict[str, Any], kind: type[M], name: str) -> M:
    """Return the values as a message; an error calls the message `name`."""
    try:
        return msgspec.convert(values, kind)
    except UnicodeError:
        # Half of a surrogate pair, where a name or a number is expected.
        raise BadMessageError(f"`{name}`: a name or a value is no text") from None
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        place = name + path.rstrip("`")
        raise BadMessageError(f"`{place}`: {text[:1].lower()}{text[1:]}") from None


def _encode(values: dict[str, Any]) -> bytes:
    # Not by msgspec, which refuses half of a surrogate pair: file names and arguments
    # that are not UTF-8 have such halves.
    return json.dumps(values).encode() + b"\n"


def _decode(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise BadMessageError("expected a line of JSON") from None
    if not isinstance(values, dict):
        raise BadMessageError('expected an object, such as {"do": "status"}')
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
