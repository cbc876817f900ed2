"""When a failed job is tried again: what an application or the configuration says.

Used where jobs are declared, in workers and in children. The function of the
application that gives a delay is called in children alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any, TypeAlias

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
        if not 0 <= self.jitter <= 1:
            raise JobClassError(f"retry jitter {self.jitter!r} must be from 0 to 1")
        if not 0 < self.factor <= 1000:
            raise JobClassError(f"retry factor {self.factor!r} must be from 0 to 1000")
        for kind in (self.on, self.unless):
            if isinstance(kind, str | type) or not all(map(_is_kind, kind)):
                raise JobClassError(
                    f"retry after {kind!r}: write a tuple of exceptions, as in"
                    " on=(ConnectionError,)"
                )
        for name in ("delay", "max_delay", "within"):
            value = getattr(self, name)
            if not callable(value):
                seconds_of(value, f"retry {name}")
        if self.on_exhausted is not None and not callable(self.on_exhausted):
            raise JobClassError(f"on_exhausted {self.on_exhausted!r} is not callable")

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


@dataclass(frozen=True, slots=True)
class RetryTable:
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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RetryTable:
        """Return the table that dataclasses.asdict turned into a message."""
        spacing = Spacing(**values["spacing"])
        return cls(spacing, tuple(values["on"]), tuple(values["unless"]))


@dataclass(frozen=True, slots=True)
class RetryRules:
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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RetryRules:
        """Return the rules that dataclasses.asdict turned into a message."""
        default, read = values["default"], RetryTable.from_dict
        return cls(
            None if default is None else read(default),
            {name: read(found) for name, found in values["queues"].items()},
            {name: read(found) for name, found in values["classes"].items()},
            values["records_all"],
        )
