"""`resqued enqueue`: put a job on a queue from the shell."""

from __future__ import annotations

from typing import Any

import click

from resqued.cli.options import client, redis_options
from resqued.core import jsontext

EXAMPLES = """
\b
Examples:
  resqued enqueue Archive 44 masterbrew -q file_serve
  resqued enqueue myapp.jobs.Mail '{"to": "a@example.org"}' -q mail
  resqued enqueue Count '"44"' -q low        the text 44, not the number
"""


@click.command(
    epilog=EXAMPLES,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("class_name", metavar="CLASS")
@click.argument("args", nargs=-1)
@click.option("-q", "--queue", required=True, help="The queue to put it on.")
@redis_options
def enqueue(
    class_name: str,
    args: tuple[str, ...],
    queue: str,
    url: str | None,
    namespace: str | None,
    config_file: str | None,
) -> None:
    """Put a job of CLASS on a queue; ARGS are JSON, or text where they are not."""
    values = [_value(arg) for arg in args]
    client(url, namespace, config_file).enqueue_to(queue, class_name, *values)


def _value(text: str) -> Any:
    try:
        return jsontext.decode(text)
    except ValueError:
        return text
