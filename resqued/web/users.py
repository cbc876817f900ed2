"""The users of the web front end: their names, roles and hashed passwords.

The file has one line for each user, name:role:hash, and # begins a comment.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from resqued.core.roles import ROLES
from resqued.errors import ConfigError

# 2^14 blocks of 8 take 50 ms and 16 MB for one guess (RFC 7914).
_COST, _BLOCK, _LANES, _LENGTH = 1 << 14, 8, 1, 32


class WebAccount(Struct, frozen=True):
    """A line of the file of users."""

    name: str
    role: str
    password_hash: str


def hash_password(password: str, salt: bytes | None = None) -> str:
    """Return the hash of a password, as scrypt$salt$digest in base64."""
    salt = os.urandom(16) if salt is None else salt
    digest = hashlib.scrypt(
        password.encode(), salt=salt, n=_COST, r=_BLOCK, p=_LANES, dklen=_LENGTH
    )
    return "$".join(("scrypt", *(base64.b64encode(x).decode() for x in (salt, digest))))


def is_password(password: str, stored: str) -> bool:
    """Return True if a hash is that of the password; takes the same time if not."""
    try:
        kind, salt, _ = stored.split("$")
        found = hash_password(password, base64.b64decode(salt, validate=True))
    except ValueError:
        hash_password(password, b"none")
        return False
    return kind == "scrypt" and hmac.compare_digest(found, stored)


def hash_token(token: str) -> str:
    """Return the hash of a bearer token: random, so that one round is enough."""
    return f"sha256${hashlib.sha256(token.encode()).hexdigest()}"


def is_token(token: str, stored: str) -> bool:
    """Return True if a hash is that of the bearer token."""
    return hmac.compare_digest(hash_token(token).encode(), stored.encode())


def read_users(path: Path) -> Mapping[str, WebAccount]:
    """Return the accounts of a file by name; raise ConfigError if it is not valid."""
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"file of users {path} cannot be read: {reason}") from None
    if mode & stat.S_IWOTH:
        raise ConfigError(
            f"{path} can be changed by everybody on this host, who could make"
            f" themselves a user: chmod 640 {path}"
        )
    found: dict[str, WebAccount] = {}
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        parts = text.split(":")
        if len(parts) != 3 or not parts[0] or parts[1] not in ROLES:
            known = ", ".join(ROLES)
            raise ConfigError(
                f"{path}, line {number}: a line is name:role:hash, and a role is one"
                f" of {known}; `resqued web user add` writes it"
            )
        found[parts[0]] = WebAccount(*parts)
    return found
