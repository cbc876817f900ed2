"""When a failed job is tried again: what an application or the configuration says.

Used where jobs are declared, in workers and in children. The function of the
application that gives a delay is called in children alone.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TypeAlias

from msgspec import Struct, field
from msgspec.structs import asdict

from resqued.core import durations
from resqued.core.durations import Duration
from resqued.core.retry import MOST_TIMES, Spacing, is_wanted
from resqued.errors import JobClassError

ExceptionKind: TypeAlias = type[BaseException] | str
Delay: TypeAlias = Duration | Callable[[int], Duration | None]

# What `import resqued` calls them, and where they are.
_SHORT, _LONG = "resqued.", "resqued.errors."


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a failed job is tried again.

    Raises JobClassError for a value that cannot be used.
    """

    times: int = 3
    """How many attempts follow the first one at most."""
    _: KW_ONLY
    delay: Delay = 10.0
    """The time between the first attempt and the second; 0 is at once. Or a function:
    it gets the number of the attempt that has failed, from 1, and returns the delay, or
    None for no further attempt."""
    factor: float = 2.0
    """By what each further delay is longer than the one before."""
    jitter: float = 0.1
    """Up to which share a delay is longer or shorter by chance, from 0 to 1."""
    max_delay: Duration = 86_400.0
    """The longest delay."""
    on: Sequence[ExceptionKind] = ("Exception",)
    """Exceptions to try again after, with those derived from them: classes or names."""
    unless: Sequence[ExceptionKind] = ()
    """Exceptions not to try again after, although `on` has them."""
    within: Duration = 0.0
    """The time from the first attempt in which the next one must be due; 0: any."""
    on_exhausted: Callable[..., object] | None = None
    """Called in the child, as an on_failure hook is, when no attempt follows."""

    def __post_init__(self) -> None:
        """Check every value."""
        is_number = isinstance(self.times, int) and not isinstance(self.times, bool)
        if not is_number or not 0 <= self.times <= MOST_TIMES:
            raise JobClassError(
                f"retry {self.times!r} must be a whole number from 0 to {MOST_TIMES}"
            )
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise JobClassError(f"retry jitter {self.jitter!r} must be from 0 to 1")
        if not _is_number(self.factor) or not 0 < self.factor <= 1000:
            raise JobClassError(f"retry factor {self.factor!r} must be from 0 to 1000")
        for name in ("on", "unless"):
            # A copy: what is a generator can be read once.
            object.__setattr__(self, name, _kinds(getattr(self, name)))
        if callable(self.delay):
            _check_function("retry delay", self.delay)
        else:
            seconds_of(self.delay, "retry delay")
        for name in ("max_delay", "within"):
            seconds_of(getattr(self, name), f"retry {name}")
        if self.on_exhausted is not None:
            _check_function("on_exhausted", self.on_exhausted)

    @property
    def spacing(self) -> Spacing:
        """The numbers of this policy, in seconds."""
        delay = 0.0 if callable(self.delay) else durations.seconds(self.delay)
        return Spacing(
            self.times,
            delay,
            self.factor,
            self.jitter,
            durations.seconds(self.max_delay),
            durations.seconds(self.within),
        )

    def wants(self, kind: type[BaseException]) -> bool:
        """Return True if a job that raised such an exception is to be tried again."""
        return is_wanted(
            names_of(kind), list(map(_name, self.on)), list(map(_name, self.unless))
        )

    def wants_error(self, error: BaseException) -> bool:
        """Return True if a job that raised this is to be tried again.

        A group of exceptions, such as that of an asyncio.TaskGroup, is wanted if all
        of its members are, or if `on` names the class of the group.
        """
        if not isinstance(error, BaseExceptionGroup):
            return self.wants(type(error))
        groups = [c for c in type.mro(type(error)) if issubclass(c, BaseExceptionGroup)]
        names = [_full_name(each) for each in groups]
        on, unless = ([*map(_name, kinds)] for kinds in (self.on, self.unless))
        if is_wanted(names, on, unless):
            return True
        is_refused = is_wanted(names, unless, ())
        return not is_refused and all(map(self.wants_error, error.exceptions))

    def next_delay(self, attempt: int, age: float) -> float | None:
        """Return the delay after this attempt in seconds; None if none follows.

        `age` is how many seconds ago the first attempt began. A function of the
        application is called, and may raise anything.
        """
        spacing = self.spacing
        if not callable(self.delay):
            return spacing.after(attempt, age=age, chance=random.random())
        found = self.delay(attempt)
        if found is None:
            return None
        delay = seconds_of(found, "the delay that the function of retry returned")
        return spacing.allowed(attempt, delay, age=age)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _kinds(value: object) -> tuple[ExceptionKind, ...]:
    """Return the exceptions of `on` or `unless`; raise JobClassError."""
    is_list = isinstance(value, Iterable) and not isinstance(value, str | type)
    kinds = tuple(value) if is_list else ()  # type: ignore[arg-type]
    if not is_list or not all(map(_is_kind, kinds)):
        raise JobClassError(
            f"retry after {value!r}: write a tuple of exceptions, as in"
            " on=(ConnectionError,)"
        )
    return kinds


def _check_function(what: str, value: object) -> None:
    """Raise JobClassError for what a call of runs nothing, or is none at all."""
    if not callable(value):
        raise JobClassError(f"{what} {value!r} is not callable")
    if inspect.iscoroutinefunction(value) or inspect.isgeneratorfunction(value):
        raise JobClassError(
            f"{what} {value!r} is a coroutine or a generator, of which a call runs"
            " nothing: write a plain function"
        )


def _is_kind(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, type) and issubclass(value, BaseException)
    )


def seconds_of(value: object, what: str) -> float:
    """Return a duration in seconds; raise JobClassError, which names `what`."""
    try:
        return durations.seconds(value)
    except (ValueError, OverflowError) as error:
        raise JobClassError(f"{what} {value!r}: {error}") from None


def _name(kind: ExceptionKind) -> str:
    if not isinstance(kind, str):
        return _full_name(kind)
    is_ours = kind.startswith(_SHORT) and not kind.startswith(_LONG)
    return _LONG + kind.removeprefix(_SHORT) if is_ours else kind


def _full_name(kind: type) -> str:
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{home}{kind.__qualname__}"


def names_of(kind: type[BaseException]) -> list[str]:
    """Return the full names of a class and of its bases.

    Runs no code of the application, as isinstance may.
    """
    return [_full_name(each) for each in type.mro(kind)]


RetryArgument: TypeAlias = Retry | int | Callable[[int], Duration | None]


def read_retry(value: object) -> Retry:
    """Return the policy for what a job declares: a Retry, a number, or a function.

    Raises JobClassError for anything else.
    """
    if isinstance(value, Retry):
        return value
    if isinstance(value, int):
        return Retry(value)
    if callable(value):
        return Retry(MOST_TIMES, delay=value)
    raise JobClassError(
        f"retry {value!r} is neither a number, a resqued.Retry nor a function"
    )


class RetryTable(Struct, frozen=True):
    """The retry of a table of the configuration: plain values, as messages have them.

    `on` and `unless` are names of exceptions.
    """

    spacing: Spacing
    on: tuple[str, ...] = ("Exception",)
    unless: tuple[str, ...] = ()

    @property
    def policy(self) -> Retry:
        """The same as a policy."""
        return Retry(**asdict(self.spacing), on=self.on, unless=self.unless)


class RetryRules(Struct, frozen=True):
    """The retries of a configuration: the default, by queue, and by class of job.

    With `records_all` each failed attempt goes to the failed list, else the last one.
    """

    default: RetryTable | None = None
    queues: Mapping[str, RetryTable] = field(default_factory=dict)
    classes: Mapping[str, RetryTable] = field(default_factory=dict)
    records_all: bool = False

    def of(
        self, queue: str, class_name: str, declared: Retry | None = None
    ) -> Retry | None:
        """Return the policy of a job; the most specific one applies, as a whole.

        The order is: the configuration of the class, the code (`declared`), the
        configuration of the queue, the default. None if no attempt ever follows.
        """
        if table := self.classes.get(class_name):
            policy = table.policy
        elif declared is not None:
            policy = declared
        elif table := self.queues.get(queue) or self.default:
            policy = table.policy
        else:
            return None
        return policy if policy.times else None

    def __bool__(self) -> bool:
        """Return True if the configuration has any retries."""
        return bool(self.default or self.queues or self.classes)
