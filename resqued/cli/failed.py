"""`resqued failed`: the jobs that failed: look, retry, remove.

A failure is named by a short id made of its content, never by its place in the
list, which changes while a person looks at it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from functools import partial, wraps
from itertools import islice
from typing import Any

import click

from resqued.cli.choice import (
    all_option,
    check_choice,
    class_option,
    ids_argument,
    queue_option,
)
from resqued.cli.failure_table import show_failures
from resqued.cli.options import (
    ListingGroup,
    Moment,
    confirm,
    json_option,
    page_options,
    wide_option,
    with_client,
    with_writing_client,
    yes_option,
)
from resqued.cli.table import show_json, show_line, show_words
from resqued.cli.text import json_line, one_line
from resqued.client import Client
from resqued.core.plural import pluralize
from resqued.errors import PayloadError, ResquedError, StoreError
from resqued.store.bulk import BulkProgress
from resqued.store.failure_entry import Failure
from resqued.store.failure_filter import FailureFilter, pick

EXAMPLES = """
\b
Examples:
  resqued failed --count 50
  resqued failed list --queue mail --class myapp.jobs.Mail --json
  resqued failed show 3f2a91c04d7e
  resqued failed retry 3f2a 77b0
  resqued failed retry --remove --to low 3f2a
  resqued failed retry --all --queue mail
  resqued failed retry --all --remove --class myapp.jobs.Mail
  resqued failed retry --all --exception Resque::DirtyExit --since 1h --dry-run
  resqued failed remove --all --class myapp.jobs.Old --yes
  resqued failed clear --retried --yes
"""


def filter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose failures, and pass them as one `which`."""

    @wraps(function)
    def command(
        *args: Any,
        class_name: str | None,
        queue: str | None,
        exception: str | None,
        since: float | None,
        until: float | None,
        **values: Any,
    ) -> Any:
        which = FailureFilter(class_name, queue, exception, since, until)
        return function(*args, which=which, **values)

    for option in (
        click.option(
            "--until", type=Moment(), metavar="TIME", help="Only those before TIME."
        ),
        click.option(
            "--since",
            type=Moment(),
            metavar="TIME",
            help="Only those from TIME on: 1h, or 2026-11-27 22:58.",
        ),
        click.option("--exception", metavar="NAME", help="Only of this exception."),
        queue_option,
        class_option,
    ):
        command = option(command)
    return command


_dry_run = click.option(
    "--dry-run", is_flag=True, help="Say how many, and change nothing."
)


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def failed() -> None:
    """List failed jobs, retry or remove them.

    Without a command: list. An ID may be shortened as long as it is the only one
    that begins so.
    """


@failed.command(name="list", epilog=EXAMPLES)
@page_options(count=20)
@filter_options
@wide_option
@json_option
@with_client
def list_(
    client: Client,
    start: int,
    count: int,
    which: FailureFilter,
    is_wide: bool,
    as_json: bool,
) -> None:
    """List failures, the newest first."""
    if which.is_all:
        found = client.failures.page(start, count)
    else:
        found = list(islice(client.failures.matching(which), start, start + count))
    if as_json:
        show_json([_as_dict(failure) for failure in found])
    else:
        show_failures(found, client.registry.link.time(), is_wide=is_wide)


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
    (failure,) = pick((failure_id,), client.failures.newest_first())
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
@ids_argument
@all_option
@filter_options
@click.option("--remove", "removes", is_flag=True, help="Remove the failures too.")
@click.option("--to", metavar="QUEUE", help="Enqueue those by ID on this queue.")
@_dry_run
@with_writing_client
def retry(
    client: Client,
    ids: tuple[str, ...],
    is_all: bool,
    which: FailureFilter,
    removes: bool,
    to: str | None,
    dry_run: bool,
) -> None:
    """Enqueue the jobs of failures again.

    The failures stay, marked as retried.

    With --remove they do not stay. Failures that come meanwhile are not touched.

    --all leaves out those that were retried before; name them by ID to retry
    them once more. The ID of a failure that was retried is another one.
    """
    failures = client.failures
    _check_choice(ids, which, is_all=is_all)
    if is_all and to:
        raise click.UsageError("--to is for failures by ID, not --all")
    done = "retried and removed" if removes else "retried"
    if is_all and dry_run:
        _report("would retry", failures.rehearse_retry(which))
    elif is_all and removes:
        # What fails from now on, such as a job that fails again, is not touched.
        seen = failures.seen(which)
        _go_through(done, failures.seen_steps(which, "retry_remove", seen))
    elif is_all:
        _go_through(done, failures.retry_steps(which))
    else:
        found = pick(ids, failures.newest_first())
        if dry_run:
            _report("would retry", failures.rehearse_retry(FailureFilter(), found))
        else:
            again = partial(failures.retry, queue=to, removes=removes)
            _act(done, again, found)
    if not (dry_run or removes):
        _explain_marks()


def _explain_marks() -> None:
    """Tell a person why the list is no shorter now."""
    if sys.stdout.isatty():
        show_words("they stay listed as retried until `resqued failed clear --retried`")


@failed.command(epilog=EXAMPLES)
@ids_argument
@all_option
@filter_options
@_dry_run
@yes_option
@with_writing_client
def remove(
    client: Client,
    ids: tuple[str, ...],
    is_all: bool,
    which: FailureFilter,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove failures; their jobs are gone then."""
    failures = client.failures
    _check_choice(ids, which, is_all=is_all)
    found = [] if is_all else pick(ids, failures.newest_first())
    if dry_run:
        count = sum(1 for _ in failures.matching(which)) if is_all else len(found)
        click.echo(f"would remove {pluralize(count, 'failure')}")
    elif is_all:
        confirm("Remove all failures that match?", yes=yes)
        _go_through("removed", failures.remove_steps(which))
    else:
        confirm(f"Remove {pluralize(len(found), 'failure')}?", yes=yes)
        _act("removed", failures.remove, found)


@failed.command(epilog=EXAMPLES)
@click.option("--retried", is_flag=True, help="Only those that were retried.")
@yes_option
@with_writing_client
def clear(client: Client, retried: bool, yes: bool) -> None:
    """Remove all failures."""
    failures = client.failures
    if retried:
        confirm("Remove all failures that were retried?", yes=yes)
        retried_ones = FailureFilter(is_retried=True)
        _go_through("removed", failures.remove_steps(retried_ones))
        return
    confirm(f"Remove {pluralize(failures.count(), 'failure')}?", yes=yes)
    click.echo(f"removed {pluralize(failures.clear(), 'failure')}")


def _check_choice(ids: tuple[str, ...], which: FailureFilter, *, is_all: bool) -> None:
    check_choice(
        ids,
        is_all=is_all,
        is_filtered=not which.is_all,
        noun="failures",
        filters="--class, --queue, --exception, --since and --until",
    )


def _go_through(done: str, steps: Generator[BulkProgress]) -> None:
    """Go through all steps of an operation and say to how many it was done."""
    progress = BulkProgress()
    try:
        # Ctrl-C closes it, and what was staged is put back.
        with closing(steps):
            for step in steps:
                progress = step
    except StoreError as error:
        message = f"{error}; {done} before that: {progress.changed}"
        raise StoreError(message) from error
    _report(done, progress)


def _report(done: str, progress: BulkProgress) -> None:
    click.echo(f"{done} {pluralize(progress.changed, 'failure')}")
    if progress.left_out:
        message = f"left out: {progress.left_out}, such as {progress.problem}"
        click.echo(one_line(message), err=True)


def _act(
    done: str, action: Callable[[Failure], bool], failures: Iterable[Failure]
) -> None:
    """Do something to each failure and say to how many it was done.

    One that is gone meanwhile, or that holds no job, makes the command fail, after the
    others.
    """
    count = 0
    problems: list[str] = []
    try:
        for failure in failures:
            if problem := _problem(action, failure):
                problems.append(problem)
            else:
                count += 1
    except StoreError as error:
        raise StoreError(f"{error}; {done} before that: {count}") from error
    click.echo(f"{done} {pluralize(count, 'failure')}")
    if problems:
        raise ResquedError("; ".join(problems))


def _problem(action: Callable[[Failure], bool], failure: Failure) -> str:
    try:
        if action(failure):
            return ""
    except PayloadError as error:
        return f"failure {failure.id}: {error}"
    return f"failure {failure.id} is not there any more"
