"""Shell completion: the script for a shell, and names that Redis knows.

A shell asks while a person types: whatever goes wrong, the answer is no names,
soon and without a word.
"""

from __future__ import annotations

import re
from typing import Any

import click
from click.shell_completion import get_completion_class

from resqued.cli import options
from resqued.errors import ResquedError

EXAMPLES = """
\b
Examples:
  eval "$(resqued completion bash)"          in ~/.bashrc
  eval "$(resqued completion zsh)"           in ~/.zshrc
  resqued completion fish > ~/.config/fish/completions/resqued.fish
"""
# Longer than a server nearby takes, shorter than a person waits for a word.
PATIENCE = 0.5
# More than anybody reads.
MOST = 200
# The shell gets a name as it is, and would act on anything else in it.
_PLAIN = re.compile(r"[\w.:/@%+=-]+")


@click.command(epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes resqued in SHELL."""
    click.echo(script(ctx, shell))


def script(ctx: click.Context, shell: str) -> str:
    """Return what completes resqued in a shell."""
    made = get_completion_class(shell)
    assert made is not None, "one of click's own"
    program = ctx.find_root().command
    return made(program, {}, "resqued", "_RESQUED_COMPLETE").source()


def queue_names(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[str]:
    """Return the queues that begin with what was typed."""
    given: dict[str, Any] = ctx.params
    try:
        client = options.client(
            given.get("url"),
            given.get("namespace"),
            given.get("config_file"),
            patience=PATIENCE,
        )
        names = client.queues()
        client.close()
    except ResquedError:
        return []
    fitting = (name for name in names if name.startswith(incomplete))
    return [name for name in fitting if _PLAIN.fullmatch(name)][:MOST]
