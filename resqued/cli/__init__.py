"""The resqued command: one file per group of commands, one line per error."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import click

from resqued.core.version import VERSION
from resqued.errors import ConfigError, ExitCode, ResquedError

# Loaded when they are asked for: `resqued enqueue` in a shell loop should not
# wait for what only the demo needs.
COMMANDS = {
    "config": "resqued.cli.config",
    "demo": "resqued.cli.demo",
    "enqueue": "resqued.cli.enqueue",
    "failed": "resqued.cli.failed",
    "queues": "resqued.cli.queues",
    "redis": "resqued.cli.redis",
    "stats": "resqued.cli.stats",
    "status": "resqued.cli.status",
    "work": "resqued.cli.work",
    "workers": "resqued.cli.workers",
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has examples: resqued COMMAND --help.",
)
@click.version_option(VERSION, prog_name="resqued")
def cli() -> None:
    """Background jobs on Redis, each in a process of its own."""


def main() -> None:
    """Run the command; every error of ours is one line and an exit code."""
    try:
        status = cli.main(prog_name="resqued", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = ExitCode.USAGE
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        status = 130
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"resqued: {problem}", err=True)
        status = error.exit_code
    except ResquedError as error:
        click.echo(f"resqued: {error}", err=True)
        status = error.exit_code
    except BrokenPipeError:
        # Whoever read our output has had enough; do not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = ExitCode.OK
    sys.exit(int(status or 0))
