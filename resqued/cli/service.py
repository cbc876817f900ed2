"""`resqued service`: put the units on this host, take them away, look at them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from resqued.cli import completion
from resqued.cli.options import json_option
from resqued.cli.table import Column, show_json, show_line, show_table
from resqued.core.plural import join_names
from resqued.errors import ResquedError
from resqued.systemd import installer as installing
from resqued.systemd import instance as naming
from resqued.systemd import units
from resqued.systemd.installer import File, FileState, InstallPaths, InstallRoot

EXAMPLES = """
\b
Examples:
  resqued service install
  resqued service install --instance critical,high --instance low
  resqued service install --user
  resqued service install --root build/root --prefix /usr --program /usr/bin/resqued
  resqued service status
  resqued service uninstall --dry-run
"""
ROOT = Path("/")
STATES = {"unchanged": "green", "missing": "yellow", "outdated": "yellow"}
_WIDTH = 10
_ENABLED = "enabled"
_DIRECTORY = click.Path(file_okay=False, path_type=Path)


class Target(Struct, frozen=True):
    """Where to: whose systemd, below which directory, and the files of it."""

    of_user: bool
    root: Path
    layout: InstallPaths
    files: tuple[File, ...]

    @property
    def place(self) -> InstallRoot:
        """What reads and writes the files."""
        return InstallRoot(self.root)

    @property
    def is_this_host(self) -> bool:
        """Whether it is the host that this command runs on."""
        return self.root == ROOT

    @property
    def has_systemd(self) -> bool:
        """Whether there is a systemd to be told."""
        return self.is_this_host and units.is_running(of_user=self.of_user)


_TARGET_OPTIONS = (
    click.option(
        "--program", type=click.Path(path_type=Path), help="What the units start."
    ),
    click.option(
        "--prefix",
        type=_DIRECTORY,
        default=Path("/usr/local"),
        show_default=True,
        help="Where units, manual pages and completions go.",
    ),
    click.option(
        "--root",
        type=_DIRECTORY,
        default=ROOT,
        show_default=True,
        help="Use this directory as the root of the host, and do not call systemd.",
    ),
    click.option(
        "--user", "of_user", is_flag=True, help="For the systemd instance of this user."
    ),
)


def _target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where to, and pass the target that they mean."""

    @wraps(function)
    @click.pass_context
    def command(
        ctx: click.Context,
        /,
        of_user: bool,
        root: Path,
        prefix: Path,
        program: Path | None,
        **values: Any,
    ) -> None:
        for name, path in (("--prefix", prefix), ("--program", program)):
            if path is not None and not path.is_absolute():
                raise click.UsageError(f"{name} {path} must begin with a /.")
        layout = (
            installing.user(Path.home(), os.environ)
            if of_user
            else installing.system(prefix)
        )
        scripts = {s: completion.script(ctx, s) for s in ("bash", "zsh", "fish")}
        files = installing.files(layout, program or installing.program(), scripts)
        target = Target(of_user, root.absolute(), layout, tuple(files))
        function(target, **values)
        # In the end, where they are seen; a builder of packages knows.
        if target.is_this_host and program is None and ctx.command is not uninstall:
            _warn(target)

    for option in _TARGET_OPTIONS:
        command = option(command)
    return command


def _instance_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--instance", "instances", multiple=True, metavar="NAME", help=text
    )


_dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be done, and do nothing."
)


@click.group(epilog=EXAMPLES)
def service() -> None:
    """Install, show or remove the units for systemd."""


@service.command(epilog=EXAMPLES)
@_instance_option("Enable resqued@NAME too; may be given several times.")
@_dry_run_option
@_target_options
def install(target: Target, instances: tuple[str, ...], dry_run: bool) -> None:
    """Install units, manual pages, completions and an example.

    May be run again, after an upgrade too: files that somebody has changed are
    kept. NAME is a queue list, such as critical,high; it is escaped as systemd wants
    it. Nothing is started.
    """
    if not dry_run:
        _refuse_without_rights(target)
    names = _names(instances)
    with _telling(dry_run=dry_run) as told:
        for file in target.files:
            told.append(_install(target, file, dry_run=dry_run))
        if not dry_run:
            if target.has_systemd:
                units.reread(of_user=target.of_user)
                if not target.of_user:
                    units.make_users_and_directories()
            if names:
                units.enable(names, of_user=target.of_user, root=target.root)
        told += [("enabled", name) for name in names]


def _install(target: Target, file: File, *, dry_run: bool) -> tuple[str, str]:
    state = target.place.state(file)
    path = str(target.place.path(file.path))
    if state is FileState.MISSING or (state is FileState.OLDER and not file.for_admin):
        if not dry_run:
            target.place.write(file)
        return "written", path
    if state is FileState.SAME:
        return "unchanged", path
    if file.for_admin:
        return "kept", path
    return (
        "kept",
        f"{path}: somebody has changed it; remove it to have it installed again",
    )


@service.command(epilog=EXAMPLES)
@_instance_option("Disable resqued@NAME, and do no more.")
@_dry_run_option
@_target_options
def uninstall(target: Target, instances: tuple[str, ...], dry_run: bool) -> None:
    """Remove the installed files that nobody has changed.

    Units that are enabled are disabled first. Those that run must be stopped before.
    """
    if not dry_run:
        _refuse_without_rights(target)
    names = _names(instances) or _enabled(target)
    if not instances:
        _refuse_if_it_runs(target)
    with _telling(dry_run=dry_run) as told:
        if names and not dry_run:
            units.disable(names, of_user=target.of_user, root=target.root)
        told += [("disabled", name) for name in names]
        if instances:
            return
        for file in reversed(target.files):
            told.append(_uninstall(target, file, dry_run=dry_run))
        if target.has_systemd and not dry_run:
            units.reread(of_user=target.of_user)


def _uninstall(target: Target, file: File, *, dry_run: bool) -> tuple[str, str]:
    state = target.place.state(file)
    path = str(target.place.path(file.path))
    if state is FileState.CHANGED:
        return "kept", f"{path}: somebody has changed it"
    if state is FileState.MISSING:
        return "missing", path
    if not dry_run:
        target.place.remove(file)
    return "removed", path


@service.command(epilog=EXAMPLES)
@_instance_option("Only this one; may be given several times.")
@json_option
@_target_options
def status(target: Target, instances: tuple[str, ...], as_json: bool) -> None:
    """Show the files that are installed, changed or missing.

    Shows also what systemctl says of the units.
    """
    states = {
        str(target.place.path(file.path)): target.place.state(file).value
        for file in target.files
    }
    rows = _services(target, _names(instances))
    if as_json:
        services = [
            {"name": name, "is_enabled": at_boot == _ENABLED, "state": state}
            for name, at_boot, state in rows
        ]
        show_json({"files": states, "units": services})
        return
    if not instances:
        show_table(
            (Column("STATE", rank=0, styles=STATES), Column("FILE", rank=0)),
            [(state, path) for path, state in states.items()],
            empty="no files",
        )
        show_line("")
    show_table(
        (Column("UNIT", rank=0), Column("AT BOOT"), Column("STATE")),
        rows,
        empty="no unit is enabled or runs",
    )


def _services(target: Target, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return these services, or all, with whether they are enabled, and their state."""
    found = units.loaded(of_user=target.of_user) if target.has_systemd else {}
    enabled = _enabled(target)
    otherwise = "inactive (dead)" if target.has_systemd else "unknown"
    return [
        (
            name,
            _ENABLED if name in enabled else "disabled",
            found.get(name, otherwise),
        )
        for name in names or sorted({*found, *enabled})
    ]


# What they share


def _names(instances: Sequence[str]) -> list[str]:
    if "" in instances:
        raise click.UsageError("--instance needs a name, such as critical,high.")
    return [naming.unit(name) for name in instances]


@contextmanager
def _telling(*, dry_run: bool) -> Iterator[list[tuple[str, str]]]:
    """Print what was done and to what, in the end: who stops reading stops nothing."""
    told: list[tuple[str, str]] = []
    try:
        yield told
    finally:
        for what, about in told:
            show_line(f"{what:<{_WIDTH}} {about}")
        if dry_run:
            show_line("nothing was done: --dry-run")


def _enabled(target: Target) -> list[str]:
    return units.enabled(target.place.path(target.layout.enabled))


def _refuse_without_rights(target: Target) -> None:
    if target.is_this_host and not target.of_user and os.geteuid() != 0:
        raise ResquedError(
            "the units of the whole system are root's: run this as root,"
            " or with --user for your own"
        )


def _refuse_if_it_runs(target: Target) -> None:
    if not target.has_systemd:
        return
    running = [
        name
        for name, state in units.loaded(of_user=target.of_user).items()
        if not state.startswith(("inactive", "failed"))
    ]
    if running:
        option = "--user " if target.of_user else ""
        raise ResquedError(
            f"{join_names(running)} runs: stop it first, and its jobs finish:"
            f" systemctl {option}stop resqued.target 'resqued*.service'"
        )


def _warn(target: Target) -> None:
    """Say what will keep the units from running this installation."""
    command = installing.program()
    closed = None if target.of_user else installing.closed_to_others(command)
    if closed is not None:
        _say(
            f"{closed} is closed to the user resqued, who is to run {command}:"
            " install resqued and its Python elsewhere, such as in /opt/resqued,"
            " or set User= in a drop-in"
        )


def _say(warning: str) -> None:
    click.echo(f"resqued: {warning}", err=True)
