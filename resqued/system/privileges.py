"""The change from root to another user, which cannot be undone.

Runs in the daemon that root has started, before any other work of the daemon. A process
of another user can only keep its user.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import MutableMapping
from typing import NamedTuple

from resqued.errors import ConfigError, StartError


class Account(NamedTuple):
    """A user to become, with its primary group for this process."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def owner(self) -> tuple[int, int]:
        """The uid and the gid, as chown(2) takes them."""
        return self.uid, self.gid


def account(user: str, group: str) -> Account | None:
    """Return the account of a user and a group, each a name or a number.

    Without a group it is the user's own. Returns None if both are empty. Raises
    ConfigError if one of them does not exist, if a group is given without a user, or
    if this process cannot become that user.
    """
    if not user:
        if group:
            raise ConfigError(f"group {group} is given without a user: name both")
        return None
    entry = _user(user)
    gid = _group(group) if group else entry.pw_gid
    current = (os.geteuid(), os.getegid())
    if current[0] != 0 and current != (entry.pw_uid, gid):
        raise ConfigError(
            f"only root can become user {user} with group {gid}: start it as root,"
            " or leave --user out"
        )
    return Account(entry.pw_name, entry.pw_uid, gid, entry.pw_dir)


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise ConfigError(
            f"there is no user {name}: create it, or name another one"
        ) from None


def _group(name: str) -> int:
    try:
        entry = grp.getgrgid(int(name)) if name.isdigit() else grp.getgrnam(name)
    except (KeyError, OverflowError):
        raise ConfigError(
            f"there is no group {name}: create it, or name another one"
        ) from None
    return entry.gr_gid


def become(who: Account, environ: MutableMapping[str, str]) -> None:
    """Become the user, with that user's groups only; the change cannot be undone.

    Sets HOME, USER and LOGNAME in `environ`. Does no more if this process is not
    root. Raises StartError if the system refuses, or if this process could become
    root again.
    """
    environ.update(HOME=who.home, USER=who.name, LOGNAME=who.name)
    if os.geteuid() != 0:
        return
    # The variable names root's directory, which other users cannot enter.
    environ.pop("XDG_RUNTIME_DIR", None)
    try:
        # In this order: each call removes rights that the ones before it need.
        os.initgroups(who.name, who.gid)
        os.setgid(who.gid)
        os.setuid(who.uid)
    except OSError as error:
        raise StartError(f"cannot become user {who.name}: {error.strerror}") from error
    if not _is_for_good(who):
        raise StartError(
            f"not started: user {who.name} could become root again; check the"
            " capabilities of this process"
        )


def _is_for_good(who: Account) -> bool:
    if os.getresuid() != (who.uid,) * 3 or os.getresgid() != (who.gid,) * 3:
        return False
    if who.uid == 0:
        return True
    try:
        os.setuid(0)
    except PermissionError:
        return True
    return False
