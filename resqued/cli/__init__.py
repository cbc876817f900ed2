"""The resqued command: one file per group of commands, one line per error."""

from __future__ import annotations

import difflib
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from resqued.cli.text import one_line
from resqued.core.version import VERSION
from resqued.errors import (
    ConfigError,
    ExitCode,
    LaunchError,
    ResquedError,
)
from resqued.log import journal
from resqued.system import standard_streams

# Loaded when they are asked for: `resqued enqueue` in a shell loop should not
# wait for what only the demo needs.
COMMANDS = {
    "completion": "resqued.cli.completion",
    "config": "resqued.cli.config",
    "delayed": "resqued.cli.delayed_commands",
    "retries": "resqued.cli.retry_commands",
    "demo": "resqued.cli.demo",
    "doctor": "resqued.cli.doctor",
    "drain": "resqued.cli.control",
    "enqueue": "resqued.cli.enqueue",
    "failed": "resqued.cli.failed",
    "kill": "resqued.cli.control",
    "logs": "resqued.cli.logs",
    "pause": "resqued.cli.control",
    "quarantine": "resqued.cli.quarantine_commands",
    "queues": "resqued.cli.queues",
    "redis": "resqued.cli.redis",
    "reload": "resqued.cli.control",
    "reopen": "resqued.cli.control",
    "restart": "resqued.cli.daemon",
    "resume": "resqued.cli.control",
    "scale": "resqued.cli.control",
    "schedule": "resqued.cli.schedule_commands",
    "service": "resqued.cli.service",
    "stack": "resqued.cli.control",
    "start": "resqued.cli.daemon",
    "stats": "resqued.cli.stats",
    "status": "resqued.cli.status",
    "stop": "resqued.cli.daemon",
    "top": "resqued.cli.top",
    "web": "resqued.cli.web",
    "why": "resqued.cli.why",
    "work": "resqued.cli.work",
    "workers": "resqued.cli.workers",
}
# As --help lists them, and in this order.
SECTIONS = {
    "Jobs": (
        *("enqueue", "queues", "failed", "delayed", "retries"),
        *("quarantine", "schedule", "stats", "why"),
    ),
    "Pool": ("work", "start", "stop", "restart", "status", "top", "workers", "web"),
    "Operate": (
        *("pause", "resume", "drain", "scale", "reload"),
        *("reopen", "kill", "stack", "logs"),
    ),
    "Set up": ("config", "doctor", "service", "redis", "completion", "demo"),
}
# What click says of a text that is no number, and of a number that is too large.
_NO_NUMBER = re.compile("is not a valid integer( range)?$")
_OUT_OF_RANGE = re.compile(r"is not in the range (\d+)<=x<=(\d+)$")
# What a shell says of a command that SIGINT ended (128 + 2).
INTERRUPTED = 130


class _ReaderGone(Exception):  # noqa: N818 - not an error: it has had enough
    """The process that reads our output has closed it."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the commands by what they are for."""
        room = formatter.width - max(map(len, COMMANDS)) - 6
        for title, names in SECTIONS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl(
                    [(name, c.get_short_help_str(room)) for name, c in found if c]
                )

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest the one that was meant."""
        name = args[0]
        # click looks for what is near among commands that are loaded already.
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        if name not in COMMANDS and near and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show the traceback of an error to who asks for it."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            # Under another name: click would end the program at once, and with 1.
            raise _ReaderGone from error
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception:
            if ctx.params["debug"]:
                traceback.print_exc()
            raise


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command has examples: resqued COMMAND --help.",
)
@click.version_option(VERSION, prog_name="resqued")
@click.option(
    "--debug", is_flag=True, envvar="RESQUED_DEBUG", help="Show tracebacks of errors."
)
def cli(debug: bool) -> None:
    """Background jobs on Redis, each in a process of its own."""


def main() -> None:
    """Run the command; every error is one line and an exit code."""
    standard_streams.open_standard_streams()
    # A parent that ignores it passes that on; then no child could be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A character that the locale lacks is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = cli.main(prog_name="resqued", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except Exception as error:  # the last guard: no traceback for people
        messages, status = _explain(error)
        # For journald: an error, and no mere line of what a service prints.
        mark = "<3>" if journal.is_behind(2, os.environ) else ""
        for message in messages:
            click.echo(f"{mark}resqued: {one_line(message)}", err=True)
    sys.exit(int(status or 0))


def _explain(error: Exception) -> tuple[Sequence[str], int]:
    """Return what to say of an error, a line each, and the exit code."""
    messages: Sequence[str] = (str(error),)
    status: int = ExitCode.FAILED
    match error:
        case _ReaderGone() | BrokenPipeError():
            _drop_output()
            messages, status = (), ExitCode.OK
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            messages, status = (), ExitCode.USAGE
        case click.UsageError():
            messages, status = (_usage(error),), error.exit_code
        case click.ClickException():
            messages, status = (error.format_message(),), error.exit_code
        case click.Abort():
            messages, status = ("interrupted",), INTERRUPTED
        case ConfigError() | LaunchError():
            messages, status = error.problems, error.exit_code
        case ResquedError():
            status = error.exit_code
        case OSError():
            # A full disk, more likely than not; the rest of the output is lost.
            _drop_output()
            place = f"{error.filename}: " if error.filename else ""
            messages = (f"{place}{error.strerror or error}",)
        case _:
            messages, status = (_internal(error),), ExitCode.INTERNAL
    return messages, status


def _usage(error: click.UsageError) -> str:
    """Return click's sentence in the form of our own errors."""
    message = one_line(error.format_message()).rstrip(".")
    message = _NO_NUMBER.sub("is not a whole number", message)
    message = _OUT_OF_RANGE.sub(r"is not from \1 to \2", message)
    command = error.ctx.command_path if error.ctx else "resqued"
    return f"{message[:1].lower()}{message[1:]} (see '{command} --help')"


def _internal(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = (
        f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    )
    return (
        f"internal error: {type(error).__name__}: {error}{place};"
        " RESQUED_DEBUG=1 shows the traceback"
    )


def _drop_output() -> None:
    """Have nothing more written, nor complained of at exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
