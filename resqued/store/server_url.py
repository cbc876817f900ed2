"""The URL of a server: checked, and shown without its password. Connects to nothing."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from resqued.errors import ConfigError

DEFAULT_URL = "redis://localhost:6379/0"
SCHEMES = ("redis", "rediss", "unix")

# Options of a URL that may contain secrets.
_SECRET = re.compile(r"(?i)([?&][^=&]*(?:pass|pwd|secret|token|auth)[^=&]*=)[^&]*")

_PLAIN_ADDRESS = re.compile(r"[\w.-]+:[0-9]+(?:/[0-9]*)?")

# A path that names a database, in URLs other than unix://.
_DATABASE = re.compile(r"(?:/[0-9]*)?")

# Options that would change the form of replies, or the number of connections.
_OPTIONS_OF_OURS = {
    "decode_responses",
    "encoding_errors",
    "max_connections",
    "single_connection_client",
    "connection_class",
    "parser_class",
}


def check_url(url: str) -> str:
    """Return the scheme of a URL; raise ConfigError, with a remedy, if it is wrong."""
    shown = repr(redact(url))
    if not url.startswith(tuple(f"{scheme}://" for scheme in SCHEMES)):
        raise ConfigError(
            f"redis url {shown} must begin with redis://, rediss:// or unix://"
        )
    unreadable = ConfigError(
        f"redis url {shown} cannot be read: in a password write / as %2F, # as %23,"
        " ? as %3F, @ as %40, : as %3A, [ as %5B; a port is a number"
    )
    try:
        parts = urlsplit(url)
        is_socket = parts.scheme == "unix"
        _ = None if is_socket else parts.port
    except ValueError:
        raise unreadable from None
    if not is_socket and "@" in url.partition("?")[0] and "@" not in parts.netloc:
        raise unreadable
    if not is_socket and not _DATABASE.fullmatch(parts.path):
        raise ConfigError(
            f"redis url {shown}: the path is not the number of a database, as in"
            " redis://localhost:6379/0; a namespace is an option of its own"
        )
    for name, _ in parse_qsl(parts.query):
        if name in _OPTIONS_OF_OURS:
            raise ConfigError(
                f"redis url {shown}: the option {name} cannot be set; leave it out"
            )
    return parts.scheme


def redact(url: str) -> str:
    """Return url without its password, for messages.

    The URL may be malformed: all between `://` and the last `@` counts as user and
    password, and a text without `://` as a password, unless it is host:port.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url if _PLAIN_ADDRESS.fullmatch(url) else "***"
    login, has_login, place = rest.rpartition("@")
    if has_login:
        user, has_password, _ = login.partition(":")
        rest = f"{user}:***@{place}" if has_password else f"***@{place}"
    return _SECRET.sub(r"\1***", f"{scheme}://{rest}")
