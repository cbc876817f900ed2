"""`resqued failed`: the jobs that failed: look, retry, remove.

A failure is named by a short id made of its content, never by its place in the
list, which changes while a person looks at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from typing import Any

import click

from resqued.cli.completion import queue_names
from resqued.cli.options import (
    ListingGroup,
    confirm,
    json_option,
    page_options,
    with_client,
    with_writing_client,
    yes_option,
)
from resqued.cli.table import Column, show_json, show_line, show_table
from resqued.cli.text import clip, json_line, one_line
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.errors import PayloadError, ResquedError, StoreError
from resqued.store.failures import Failure, Failures

EXAMPLES = """
\b
Examples:
  resqued failed --count 50
  resqued failed list --queue mail --class myapp.jobs.Mail --json
  resqued failed show 3f2a91c04d7e
  resqued failed retry 3f2a 77b0
  resqued failed retry --all --queue mail
  resqued failed remove --all --class myapp.jobs.Old --yes
  resqued failed clear --retried --yes
"""
COLUMNS = (
    Column("ID"),
    Column("FAILED AT"),
    Column("QUEUE"),
    Column("CLASS"),
    Column("EXCEPTION"),
    Column("ERROR", may_be_cut=True),
    Column("RETRIED AT"),
)
ID_DIGITS = 12
# Fewer would sooner or later mean another failure than the one that was meant.
FEWEST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Choice:
    """The failures of a class, of a queue, or all."""

    class_name: str | None
    queue: str | None

    def has(self, failure: Failure) -> bool:
        """Return True if a failure is one of them."""
        return (self.class_name in (None, failure.class_name)) and (
            self.queue in (None, failure.queue)
        )

    @property
    def is_all(self) -> bool:
        """Whether no failure is left out."""
        return self.class_name is None and self.queue is None


def choice_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add --class and --queue, and pass them as one `choice`."""

    @wraps(function)
    def command(
        *args: Any, class_name: str | None, queue: str | None, **values: Any
    ) -> Any:
        return function(*args, choice=Choice(class_name, queue), **values)

    with_queue = click.option(
        "--queue", help="Only of this queue.", shell_complete=queue_names
    )(command)
    return click.option("--class", "class_name", help="Only of this class.")(with_queue)


_ids = click.argument("ids", metavar="[ID]...", nargs=-1)
_all = click.option("--all", "is_all", is_flag=True, help="All, or all that match.")


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def failed() -> None:
    """List failed jobs, retry or remove them.

    Without a command: list. An ID may be shortened as long as it is the only one
    that begins so.
    """


@failed.command(name="list", epilog=EXAMPLES)
@page_options(count=20)
@choice_options
@json_option
@with_client
def list_(
    client: Client, start: int, count: int, choice: Choice, as_json: bool
) -> None:
    """List failures, the newest first."""
    if choice.is_all:
        found = client.failures.page(start, count)
    else:
        matching = filter(choice.has, client.failures.newest_first())
        found = list(islice(matching, start, start + count))
    if as_json:
        show_json([_as_dict(failure) for failure in found])
    else:
        show_table(COLUMNS, [_row(failure) for failure in found], empty="no failures")


def _row(failure: Failure) -> tuple[object, ...]:
    fields = failure.fields
    return (
        failure.id,
        clip(fields.get("failed_at") or "", 40),
        clip(failure.queue, 60),
        clip(failure.class_name, 100),
        clip(fields.get("exception") or "", 60),
        clip(fields.get("error") or "", 100) if fields else clip(_raw(failure), 100),
        clip(fields.get("retried_at") or "", 40),
    )


def _as_dict(failure: Failure) -> dict[str, Any]:
    """Return everything about a failure; of one that is none, its text."""
    fields = failure.fields or {"raw": _raw(failure)}
    return {"id": failure.id, **fields} | {"id": failure.id}


def _raw(failure: Failure) -> str:
    return failure.entry.decode("utf-8", "backslashreplace")


@failed.command(epilog=EXAMPLES)
@click.argument("failure_id", metavar="ID")
@json_option
@with_client
def show(client: Client, failure_id: str, as_json: bool) -> None:
    """Show all of a failure: payload, exception, error and backtrace."""
    (failure,) = _find(client.failures, (failure_id,))
    values = _as_dict(failure)
    if as_json:
        show_json(values)
        return
    backtrace = values.pop("backtrace", None) or []
    for name, value in values.items():
        text = value if isinstance(value, str) else json_line(value)
        first, *others = text.splitlines() or [""]
        show_line(f"{name:<12}{first}")
        for line in others:
            show_line(f"{'':<12}{line}")
    if backtrace:
        click.echo("backtrace")
        for entry in backtrace if isinstance(backtrace, list) else [backtrace]:
            for line in str(entry).splitlines():
                show_line(f"  {line}")


@failed.command(epilog=EXAMPLES)
@_ids
@_all
@choice_options
@with_writing_client
def retry(client: Client, ids: tuple[str, ...], is_all: bool, choice: Choice) -> None:
    """Enqueue the jobs of failures again; the failures stay, marked as retried.

    --all leaves out those that were retried before; name them by ID to retry
    them once more. The ID of a failure that was retried is another one.
    """
    failures = client.failures
    _check_choice(ids, choice, is_all=is_all)
    if not is_all:
        _act("retried", failures.retry, _find(failures, ids), is_strict=True)
        return
    wanted = (
        failure
        for failure in failures.oldest_first()
        if choice.has(failure) and not failure.is_retried
    )
    _act("retried", failures.retry, wanted)


@failed.command(epilog=EXAMPLES)
@_ids
@_all
@choice_options
@yes_option
@with_writing_client
def remove(
    client: Client, ids: tuple[str, ...], is_all: bool, choice: Choice, yes: bool
) -> None:
    """Remove failures; their jobs are gone then."""
    failures = client.failures
    _check_choice(ids, choice, is_all=is_all)
    if not is_all:
        found = _find(failures, ids)
        confirm(f"Remove {pluralize(len(found), 'failure')}?", yes=yes)
        _act("removed", failures.remove, found, is_strict=True)
        return
    confirm("Remove all failures that match?", yes=yes)
    _act("removed", failures.remove, filter(choice.has, failures.newest_first()))


@failed.command(epilog=EXAMPLES)
@click.option("--retried", is_flag=True, help="Only those that were retried.")
@yes_option
@with_writing_client
def clear(client: Client, retried: bool, yes: bool) -> None:
    """Remove all failures."""
    failures = client.failures
    if retried:
        confirm("Remove all failures that were retried?", yes=yes)
        removed = failures.clear_retried()
    else:
        confirm(f"Remove {pluralize(failures.count(), 'failure')}?", yes=yes)
        removed = failures.clear()
    click.echo(f"removed {pluralize(removed, 'failure')}")


def _check_choice(ids: tuple[str, ...], choice: Choice, *, is_all: bool) -> None:
    if ids and is_all:
        raise click.UsageError("give IDs or --all, not both")
    if not is_all and not choice.is_all:
        raise click.UsageError("add --all: --class and --queue say of what")
    if not ids and not is_all:
        raise click.UsageError("name failures by ID, or add --all")


def _find(failures: Failures, ids: tuple[str, ...]) -> list[Failure]:
    """Return the failures that ids mean; raise for one that means none, or several."""
    wanted = dict.fromkeys(_checked(failure_id) for failure_id in ids)
    found: dict[str, dict[str, Failure]] = {prefix: {} for prefix in wanted}
    missing = set(wanted)
    for failure in failures.newest_first():
        for prefix in wanted:
            if failure.id.startswith(prefix):
                found[prefix][failure.id] = failure
                missing.discard(prefix)
        if not missing and all(len(prefix) == ID_DIGITS for prefix in wanted):
            break
    if missing:
        names = ", ".join(prefix for prefix in wanted if prefix in missing)
        raise ResquedError(f"there is no failure {names}; `resqued failed` lists them")
    for prefix, matching in found.items():
        if len(matching) > 1:
            some = ", ".join(sorted(matching)[:5])
            raise ResquedError(f"id {prefix} means {len(matching)} failures: {some}")
    # Two ids may mean the same failure.
    each = {f.id: f for matching in found.values() for f in matching.values()}
    return list(each.values())


def _checked(failure_id: str) -> str:
    text = failure_id.strip().lower()
    if not set(text) <= set("0123456789abcdef") or len(text) > ID_DIGITS:
        raise ResquedError(
            f"there is no failure {failure_id!r}: an id is {ID_DIGITS} hex digits,"
            " as `resqued failed` shows"
        )
    if len(text) < FEWEST_DIGITS:
        raise ResquedError(
            f"id {failure_id!r} is too short: give {FEWEST_DIGITS} digits or more"
        )
    return text


def _act(
    done: str,
    action: Callable[[Failure], bool],
    failures: Iterable[Failure],
    *,
    is_strict: bool = False,
) -> None:
    """Do something to each failure and say to how many it was done.

    One that is gone meanwhile, or that holds no job, is left out; if `is_strict`,
    the command fails for it, after the others.
    """
    count = left_out = 0
    problems: list[str] = []
    try:
        for failure in failures:
            problem = _problem(action, failure)
            if not problem:
                count += 1
                continue
            left_out += 1
            # All of those that were named, one of those that were not.
            if is_strict or not problems:
                problems.append(problem)
    except StoreError as error:
        raise StoreError(f"{error}; {done} before that: {count}") from error
    click.echo(f"{done} {pluralize(count, 'failure')}")
    if problems and is_strict:
        raise ResquedError("; ".join(problems))
    if problems:
        message = f"left out: {left_out}, such as {problems[0]}"
        click.echo(one_line(message), err=True)


def _problem(action: Callable[[Failure], bool], failure: Failure) -> str:
    try:
        if action(failure):
            return ""
    except PayloadError as error:
        return f"failure {failure.id}: {error}"
    return f"failure {failure.id} is not there any more"
