"""`resqued web user` and `resqued web token`: who may see the web front end."""

from __future__ import annotations

import json
import re
import secrets
import sys
from pathlib import Path

import click

from resqued.cli.options import (
    ListingGroup,
    config_option,
    confirm,
    json_option,
    yes_option,
)
from resqued.cli.table import Column, show_json, show_table
from resqued.config import loader
from resqued.config.layers import read_layers
from resqued.core.roles import METRICS, ROLES, VIEWER
from resqued.errors import ConfigError
from resqued.web.users import hash_token, read_users
from resqued.web.users_file import add_user, remove_user

EXAMPLES = """
\b
Examples:
  resqued web user add anna --role operator
  pass show resqued/anna | resqued web user add anna --role operator
  resqued web user list
  resqued web user remove anna
"""
NEW_EXAMPLES = """
\b
Examples:
  resqued web token new prometheus --scope metrics
"""
# A key of TOML that needs no quotes.
_BARE = re.compile("[A-Za-z0-9_-]+")
_COLUMNS = (Column("NAME", rank=0), Column("ROLE", rank=0))

_file_option = click.option(
    "--users",
    "users_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of users, in place of [web] users.",
)


def _path(users_file: Path | None, config_file: str | None) -> Path:
    """Return the file of users that an option or the configuration names."""
    if users_file:
        return users_file
    settings = loader.build_web(read_layers(config_file, {}).for_command())
    if not settings.users:
        raise ConfigError("no file of users is named: set [web] users, or add --users")
    return Path(settings.users)


@click.group(cls=ListingGroup, epilog=EXAMPLES)
def user() -> None:
    """Add, list or remove users of the web front end.

    Without a command: list.
    """


@user.command(epilog=EXAMPLES)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default=VIEWER,
    show_default=True,
    help="Role of the user; docs/web.md says what each may do.",
)
@_file_option
@config_option
def add(name: str, role: str, users_file: Path | None, config_file: str | None) -> None:
    """Add user NAME, or change role and password.

    The password is asked for; without a terminal it is the first line of standard
    input.
    """
    path = _path(users_file, config_file)
    try:
        is_new = add_user(path, name, role, _password())
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"{'added' if is_new else 'changed'} {name} ({role}) in {path}")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    found: str = click.prompt(
        "Password", hide_input=True, confirmation_prompt=True, err=True
    )
    return found


@user.command(name="list")
@_file_option
@config_option
@json_option
def list_users(users_file: Path | None, config_file: str | None, as_json: bool) -> None:
    """List the users with their roles."""
    found = read_users(_path(users_file, config_file)).values()
    if as_json:
        show_json([{"name": each.name, "role": each.role} for each in found])
    else:
        rows = [(each.name, each.role) for each in found]
        show_table(_COLUMNS, rows, empty="no users", is_wide=False)


@user.command(epilog=EXAMPLES)
@click.argument("name")
@_file_option
@config_option
@yes_option
def remove(
    name: str, users_file: Path | None, config_file: str | None, yes: bool
) -> None:
    """Remove user NAME; sessions of the user end at once."""
    path = _path(users_file, config_file)
    confirm(f"Remove {name} from {path}?", yes=yes)
    try:
        remove_user(path, name)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(f"removed {name} from {path}")


@click.group(epilog=NEW_EXAMPLES)
def token() -> None:
    """Make bearer tokens for programs that read the API or the metrics."""


@token.command(epilog=NEW_EXAMPLES)
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice((METRICS, *ROLES)),
    default=METRICS,
    show_default=True,
    help="What it may do: read the metrics, or what a role may.",
)
def new(name: str, scope: str) -> None:
    """Make a token for NAME, and the line for [web.tokens].

    The token goes to standard output, the line to standard error. Only its hash is
    kept, so the token is shown once.
    """
    if not name.isprintable():
        raise click.UsageError(f"{name!r} cannot be the name of a token")
    # A name with a blank or a dot is no key of TOML without quotes.
    key = name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    secret = secrets.token_urlsafe(32)
    click.echo(f'[web.tokens]\n{key} = "{scope}:{hash_token(secret)}"', err=True)
    click.echo(secret)
