"""Becoming another user, for good.

Runs in the daemon, between its start as root and the first thing that it does as
what it is to be. Whoever is not root can stay what he is, and nothing else.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import MutableMapping
from typing import NamedTuple

from resqued.errors import ConfigError, StartError


class Account(NamedTuple):
    """A user to become, with the group that goes with it."""

    name: str
    uid: int
    gid: int
    home: str

    @property
    def owner(self) -> tuple[int, int]:
        """User and group, as chown(2) has them."""
        return self.uid, self.gid


def account(user: str, group: str) -> Account | None:
    """Return who is meant, by names or numbers; None if nobody is named.

    Raises ConfigError for one that is not known, or that this process cannot become.
    """
    if not user:
        if group:
            raise ConfigError(f"group {group} is of no use without a user: name both")
        return None
    found = _user(user)
    gid = _group(group) if group else found.pw_gid
    here = (os.geteuid(), os.getegid())
    if here[0] != 0 and here != (found.pw_uid, gid):
        raise ConfigError(
            f"only root can become user {user} with group {gid}: start it as root,"
            " or leave --user out"
        )
    return Account(found.pw_name, found.pw_uid, gid, found.pw_dir)


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        raise ConfigError(
            f"there is no user {name}: create it, or name another one"
        ) from None


def _group(name: str) -> int:
    try:
        found = grp.getgrgid(int(name)) if name.isdigit() else grp.getgrnam(name)
    except (KeyError, OverflowError):
        raise ConfigError(
            f"there is no group {name}: create it, or name another one"
        ) from None
    return found.gr_gid


def become(who: Account, environ: MutableMapping[str, str]) -> None:
    """Become that user, with all of its groups and none of ours, and never go back.

    Raises StartError if the system does not let us, or would let us go back.
    """
    environ.update(HOME=who.home, USER=who.name, LOGNAME=who.name)
    if os.geteuid() != 0:
        return
    # Root's own; others cannot even look into it.
    environ.pop("XDG_RUNTIME_DIR", None)
    try:
        # In this order: each takes rights that the ones before it need.
        os.initgroups(who.name, who.gid)
        os.setgid(who.gid)
        os.setuid(who.uid)
    except OSError as error:
        raise StartError(f"cannot become user {who.name}: {error.strerror}") from error
    if not _is_for_good(who):
        raise StartError(f"could go back from user {who.name} to root: not started")


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
