"""`resqued enqueue`: put a job on a queue from the shell."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Sequence
from contextlib import closing
from itertools import takewhile
from typing import Any

import click

from resqued.cli import options
from resqued.cli.completion import queue_names
from resqued.cli.options import app_option, name_default_server, redis_options
from resqued.cli.text import call, clean
from resqued.config.environment import read_environment
from resqued.config.layers import Given, read_layers
from resqued.config.loader import Config, build
from resqued.errors import JobClassError, ResquedError, StoreError
from resqued.wire import ruby_json

EXAMPLES = """
\b
Examples:
  resqued enqueue Archive 44 masterbrew -q file_serve
  resqued enqueue myapp.jobs.Mail '{"to": "a@example.org"}' -a myapp.jobs
  resqued enqueue Count '"44"' -q low        the text 44, not the number
  resqued enqueue -q low Fetch -- --fast     an argument that looks like an option
"""


class _Enqueue(click.Command):
    """Takes negative numbers as arguments, but no option that it does not have."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Raise NoSuchOption for what looks like an option, up to `--`."""
        known = {name for each in self.get_params(ctx) for name in each.opts}
        for text in takewhile(lambda text: text != "--", args):
            name = text.partition("=")[0] if text.startswith("--") else text[:2]
            if name[:1] == "-" and name.strip("-.0123456789") and name not in known:
                raise click.NoSuchOption(name, self._way_out(name, known), ctx=ctx)
        return super().parse_args(ctx, args)

    @staticmethod
    def _way_out(name: str, known: Collection[str]) -> str:
        found = difflib.get_close_matches(name, known, 1, 0.75)
        like = "".join(f" Did you mean {one!r}?" for one in found)
        return f"No such option {name!r}.{like} An argument like it goes behind `--`."


@click.command(
    cls=_Enqueue,
    epilog=EXAMPLES,
    # Negative numbers are arguments.
    context_settings={"ignore_unknown_options": True},
)
@click.argument("class_name", metavar="CLASS")
@click.argument("args", nargs=-1)
@click.option(
    "-q",
    "--queue",
    metavar="NAME",
    help="The queue to put it on; by default the one that the job declares.",
    shell_complete=queue_names,
)
@app_option
@redis_options
def enqueue(
    class_name: str,
    args: tuple[str, ...],
    queue: str | None,
    modules: tuple[str, ...],
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> None:
    """Put a job of CLASS with ARGS on a queue.

    Each of ARGS is JSON, or else text.

    Without --queue the application is imported, in a process of its own, to see which
    queue the job declares: the modules of --app, or those of the configuration.
    """
    values = [value_of(number, text) for number, text in enumerate(args, start=1)]
    given: Given = {
        "redis": {"url": url, "namespace": namespace},
        "app": {"import": list(modules) or None},
    }
    if queue is None:
        config = build(read_layers(config_file, given).for_command())
        place = _declared_queue(class_name, config)
    else:
        place = queue
    with closing(options.client(url, namespace, config_file)) as client:
        client.enqueue_to(place, class_name, *values)
        job = f"{call(class_name, values)} on {clean(place)}"
        try:
            ahead = f", {max(0, client.size(place) - 1)} ahead"
        except StoreError:
            ahead = ""  # an error would say that the job is not on its queue
    click.echo(f"enqueued {job}{ahead}")
    name_default_server()


def value_of(number: int, text: str) -> Any:
    """Return an argument from JSON, or as the text that it is.

    Raises UsageError for a text that begins as JSON does and is none; `number` is its
    place among the arguments.
    """
    try:
        return ruby_json.decode(text)
    except ValueError as error:
        if not text.lstrip().startswith(("{", "[", '"')):
            return text
        as_text = ruby_json.encode(text)
        raise click.UsageError(
            f"argument {number}, {text}, begins as JSON and is none ({error}); if it is"
            f" meant as text, write it as a JSON string: '{as_text}'"
        ) from None


def _declared_queue(class_name: str, config: Config) -> str:
    app = config.app
    if not app.modules:
        raise click.UsageError(
            "name the queue with -q, or with -a the module in which the job declares it"
        )
    from resqued.diagnostics import app_import

    found = app_import.attempt(
        app,
        environment={**os.environ, **read_environment(config.environment)},
        class_name=class_name,
        timeout=config.start_timeout,
    )
    if found.error:
        raise ResquedError(f"the application cannot be imported: {found.error}")
    if found.class_error:
        raise JobClassError(_with_near(found.class_error, class_name, found.declared))
    if not found.queue:
        raise JobClassError(f"{class_name} declares no queue: name one with -q")
    return found.queue


def _with_near(error: str, name: str, declared: Sequence[str]) -> str:
    """Return the error, with the name that may have been meant."""
    near = difflib.get_close_matches(name, declared, n=1)
    return f"{error}; did you mean {near[0]}?" if near else error
