"""Changes the file of users: one line is added, replaced or removed at a time."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from resqued.core.roles import ROLES
from resqued.errors import ConfigError
from resqued.web.users import WebAccount, hash_password, read_users

_MODE = 0o640
# The form for the login takes no longer ones.
_SHORTEST, _LONGEST, _LONGEST_NAME = 8, 1_000, 100


def add_user(path: Path, name: str, role: str, password: str) -> bool:
    """Add a user, or replace role and password; return True if the user is new.

    Raises ValueError for a name, role or password that cannot be used, and
    ConfigError if the file cannot be read or written.
    """
    if (
        not name
        or set(name) & set(":#")
        or not name.isprintable()
        or name != name.strip()
        or len(name) > _LONGEST_NAME
    ):
        raise ValueError(
            f"{name!r} cannot be the name of a user: no : or # in it, and at"
            f" most {_LONGEST_NAME} characters"
        )
    if role not in ROLES:
        raise ValueError(f"there is no role {role!r}: {', '.join(ROLES)}")
    if len(password) < _SHORTEST:
        raise ValueError(f"the password must have at least {_SHORTEST} characters")
    if len(password) > _LONGEST:
        raise ValueError(f"the password must have at most {_LONGEST} characters")
    line = f"{name}:{role}:{hash_password(password)}"
    is_new = name not in _users(path)
    _rewrite(path, lambda lines: [*_without(lines, name), line])
    return is_new


def remove_user(path: Path, name: str) -> None:
    """Remove a user; their sessions end with the next request.

    Raises ValueError if there is none of the name.
    """
    if name not in _users(path):
        known = ", ".join(_users(path)) or "none"
        raise ValueError(f"{path} has no user {name!r}: {known}")
    _rewrite(path, lambda lines: _without(lines, name))


def _users(path: Path) -> dict[str, WebAccount]:
    return dict(read_users(path)) if path.exists() else {}


def _without(lines: list[str], name: str) -> list[str]:
    return [line for line in lines if line.strip().partition(":")[0] != name]


def _rewrite(path: Path, change: Callable[[list[str]], list[str]]) -> None:
    """Replace the file by another one in the same step; owner and mode stay.

    Of a link, the file that it leads to.
    """
    path = path.resolve()
    try:
        with _alone_in(path.parent):
            lines = path.read_text("utf-8").splitlines() if path.exists() else []
            _replace(path, "".join(f"{line}\n" for line in change(lines)))
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Have other processes that change the file wait, or a change would be lost."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(text)
            _take_over(path, file.fileno())
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _take_over(path: Path, descriptor: int) -> None:
    """Give a new file the owner and the mode of the one that it replaces."""
    if not path.exists():
        os.fchmod(descriptor, _MODE)
        return
    status = path.stat()
    os.fchmod(descriptor, status.st_mode & 0o777)
    if os.geteuid() == 0:
        os.fchown(descriptor, status.st_uid, status.st_gid)
