"""`resqued enqueue`: put a job on a queue from the shell."""

from __future__ import annotations

from typing import Any

import click

from resqued.cli.completion import queue_names
from resqued.cli.options import with_writing_client
from resqued.client import Client
from resqued.wire import ruby_json

EXAMPLES = """
\b
Examples:
  resqued enqueue Archive 44 masterbrew -q file_serve
  resqued enqueue myapp.jobs.Mail '{"to": "a@example.org"}' -q mail
  resqued enqueue Count '"44"' -q low        the text 44, not the number
  resqued enqueue -q low Fetch -- --fast     an argument that looks like an option
"""


@click.command(
    epilog=EXAMPLES,
    # Negative numbers are arguments.
    context_settings={"ignore_unknown_options": True},
)
@click.argument("class_name", metavar="CLASS")
@click.argument("args", nargs=-1)
@click.option(
    "-q",
    "--queue",
    required=True,
    help="The queue to put it on.",
    shell_complete=queue_names,
)
@with_writing_client
def enqueue(client: Client, class_name: str, args: tuple[str, ...], queue: str) -> None:
    """Put a job of CLASS on a queue; ARGS are JSON, or text where they are not."""
    client.enqueue_to(queue, class_name, *map(_value, args))


def _value(text: str) -> Any:
    try:
        return ruby_json.decode(text)
    except ValueError:
        return text
