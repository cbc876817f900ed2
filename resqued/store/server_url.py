"""The URL of a server: checked, and shown without its password. Connects to nothing."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from msgspec import Struct

from resqued.errors import ConfigError

DEFAULT_URL = "redis://localhost:6379/0"
SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)

# The default ports of a server and of a sentinel.
PORT = 6379
SENTINEL_PORT = 26379

# Host and port.
Address = tuple[str, int]

# Options whose values are not shown. A name with % may be any of them.
_SECRET = re.compile(r"(?i)pass|pwd|secret|token|auth|%")

_PLAIN_ADDRESS = re.compile(r"[\w.-]+:[0-9]+(?:/[0-9]*)?")

# What follows the login: host and port, or else what is no such thing.
_HOST = re.compile(r"(?:[\w.%-]*|\[[\w.:%]*\])(?::[0-9]*)?")

# The name of a primary at its sentinels, and the options that are for these.
_SERVICE = re.compile(r"[\w.-]+")
_PATH = re.compile(r"[\w.-]+(?:/[0-9]*)?")
_OF_SENTINELS = ("sentinel_username", "sentinel_password")

# A path that names a database, in URLs other than unix://.
_DATABASE = re.compile(r"(?:/[0-9]*)?")

# Options that would change the form of replies, or the number of connections.
_OPTIONS_OF_OURS = {
    "decode_responses",
    "encoding_errors",
    "legacy_responses",
    "max_connections",
    "single_connection_client",
    "connection_class",
    "parser_class",
    "locator",
    # Objects of Python, which no text can name.
    "cache",
    "cache_config",
    "command_packer",
    "connection_pool",
    "credential_provider",
    "driver_info",
    "event_dispatcher",
    "maint_notifications_config",
    "redis_connect_func",
    "retry",
    "retry_on_error",
    "socket_keepalive_options",
    "socket_type",
}

# Options with a number that must be more than 0 and at most this: seconds, or bytes.
# A socket with the time-out 0 does not wait at all.
_POSITIVE = {
    "socket_timeout": 7 * 86_400,
    "socket_connect_timeout": 7 * 86_400,
    "socket_read_size": 1 << 30,
}


class ServerURL(Struct, frozen=True):
    """A URL that was read and has no faults.

    `plain` is the URL of one server, as redis-py reads it: with the login, the database
    and the options. `nodes` are the servers that are named, of which a cluster has
    several; `sentinels` are the plain URLs of the sentinels, and `service` is the name
    that they have for the primary.
    """

    scheme: str
    plain: str
    nodes: tuple[Address, ...] = ()
    sentinels: tuple[str, ...] = ()
    service: str = ""

    @property
    def is_cluster(self) -> bool:
        """Whether the URL says that the servers are nodes of a cluster."""
        return self.scheme.endswith("+cluster")


def read_url(url: str) -> ServerURL:
    """Return what a URL says; raise ConfigError, with a remedy, if it is wrong."""
    shown = repr(redact(url) if url else "")
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES or "://" not in url:
        raise ConfigError(
            f"redis url {shown} must begin with redis://, rediss://, unix://,"
            " redis+sentinel:// or redis+cluster://"
        )
    base, _, kind = scheme.partition("+")
    if not kind:
        parts = _checked(url, shown)
        nodes = () if base == "unix" else (_address_of(parts),)
        return ServerURL(scheme, url, nodes)
    login, hosts, rest = _divided(url)
    if not all(hosts):
        raise ConfigError(f"redis url {shown}: a host is missing beside a comma")
    default = SENTINEL_PORT if kind == "sentinel" else PORT
    plain = f"{base}://{login}{hosts[0]}{rest}"
    if kind == "sentinel":
        service, plain, own = _sentinel_parts(plain, shown)
        _checked(plain, shown)
        urls = tuple(f"{base}://{own}{host}" for host in hosts)
        named = [_checked(u, shown) for u in urls]
        ports = (each.port or default for each in named)
        options = _options_for_sentinels(plain)
        urls = tuple(
            f"{base}://{own}{_bracketed(each.hostname)}:{port}?{options}".rstrip("?")
            for each, port in zip(named, ports, strict=True)
        )
        return ServerURL(scheme, plain, (), urls, service)
    found = [_checked(f"{base}://{login}{host}{rest}", shown) for host in hosts]
    if _database(found[0]) not in ("", "0"):
        raise ConfigError(
            f"redis url {shown}: a cluster has no database but 0: name another"
            " namespace, not another database"
        )
    return ServerURL(scheme, plain, tuple(map(_address_of, found)))


def _divided(url: str) -> tuple[str, list[str], str]:
    """Return the login with its @, the hosts, and what follows them."""
    rest = url.partition("://")[2]
    end = min((n for mark in "/?#" if (n := rest.find(mark)) >= 0), default=len(rest))
    login, at, hosts = rest[:end].rpartition("@")
    return login + at, hosts.split(","), rest[end:]


def _sentinel_parts(plain: str, shown: str) -> tuple[str, str, str]:
    """Return the service, the URL without it, and the login at the sentinels."""
    head, question, query = plain.partition("?")
    begin, slashes, place = head.partition("://")
    host, _, path = place.partition("/")
    service, slash, database = path.partition("/")
    if not _SERVICE.fullmatch(service) or "@" in path:
        raise ConfigError(
            f"redis url {shown}: it names no service: the path is the name that the"
            " sentinels have for the primary, and the database, as in"
            " redis+sentinel://localhost:26379/mymaster/0; in a password write / as"
            " %2F"
        )
    options = query.split("&") if query else []
    own = dict(parse_qsl("&".join(o for o in options if o.startswith(_OF_SENTINELS))))
    others = "&".join(o for o in options if not o.startswith(_OF_SENTINELS))
    user, password = (quote(own.get(name, ""), safe="") for name in _OF_SENTINELS)
    login = f"{user}:{password}@" if user or password else ""
    mark = question if others else ""
    return service, f"{begin}{slashes}{host}{slash}{database}{mark}{others}", login


def _options_for_sentinels(plain: str) -> str:
    """Return the options that hold for each connection: of TLS and of sockets."""
    options = urlsplit(plain).query.split("&")
    return "&".join(o for o in options if o.startswith(("ssl_", "socket_")))


def _bracketed(host: str | None) -> str:
    return f"[{host}]" if ":" in (host or "") else host or "localhost"


def _address_of(parts: SplitResult) -> Address:
    """Return host and port, which options may name too."""
    options = dict(parse_qsl(parts.query))
    host = unquote(parts.hostname or "") or options.get("host") or "localhost"
    return host, parts.port or int(options.get("port") or PORT)


def _database(parts: SplitResult) -> str:
    return parts.path.strip("/") or dict(parse_qsl(parts.query)).get("db", "")


def check_url(url: str) -> str:
    """Return the scheme of a URL; raise ConfigError, with a remedy, if it is wrong."""
    return read_url(url).scheme


def _checked(url: str, shown: str) -> SplitResult:
    """Return the parts of the URL of one server; raise ConfigError if it is wrong."""
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
    if not is_socket and not _HOST.fullmatch(parts.netloc.rpartition("@")[2]):
        raise unreadable
    if problem := _problem(url, parts) or _problem_of_options(parts):
        raise ConfigError(f"redis url {shown}: {problem}")
    return parts


def _problem(url: str, parts: SplitResult) -> str:
    """Return what is wrong with the parts of a URL, and the way out; or ""."""
    if "#" in url:
        return "nothing may follow a #; in a password or a path write # as %23"
    options = dict(parse_qsl(parts.query))
    if parts.scheme == "unix" and not (parts.path or "path" in options):
        return "it names no socket, as unix:///run/redis.sock does"
    if not _is_host_name(unquote(parts.hostname or "")):
        return (
            "a part of the host name between dots is empty, or has more than 63"
            " characters"
        )
    if parts.scheme != "unix" and not _DATABASE.fullmatch(parts.path):
        return (
            "the path is not the number of a database, as in"
            " redis://localhost:6379/0; a namespace is an option of its own"
        )
    if ";" in parts.query:
        return "options are separated by &; in a value write ; as %3B"
    return ""


def _is_host_name(name: str) -> bool:
    """Return False for a name that cannot be looked up (RFC 1035, section 2.3.4)."""
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True


def _problem_of_options(parts: SplitResult) -> str:
    """Return what is wrong with the options of a URL, and the way out; or ""."""
    found = _named_before(parts)
    for name, value in parse_qsl(parts.query):
        if name in _OPTIONS_OF_OURS:
            return f"the option {name} cannot be set; leave it out"
        if not _is_in_range(name, value):
            return f"the option {name} must be a number above 0; leave it out"
        if found.setdefault(name, value) != value:
            return (
                f"{name} is given twice, with two values; leave the option {name} out"
            )
    return ""


def _named_before(parts: SplitResult) -> dict[str, str]:
    """Return what the URL names before its options, by the names of options for it."""
    found = {
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    if parts.scheme == "unix":
        found["path"] = unquote(parts.path)
    else:
        found["host"] = parts.hostname or ""
        found["port"] = str(parts.port or "")
        found["db"] = parts.path.strip("/")
    return {name: value for name, value in found.items() if value}


def _is_in_range(name: str, value: str) -> bool:
    """Return False for a number that the option cannot have."""
    try:
        return name not in _POSITIVE or 0 < float(value) <= _POSITIVE[name]
    except ValueError:
        return False


def redact(url: str) -> str:
    """Return url without its password, for messages.

    The URL may be malformed: all between `://` and the last `@` counts as user and
    password, and a text without `://` as a password, unless it is host:port.
    Text that does not have the form of its place may be part of a password, and is
    hidden: host and port, the number of a database, and what follows ; or #.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url if _PLAIN_ADDRESS.fullmatch(url) else "***"
    login, has_login, place = rest.rpartition("@")
    user, has_password, _ = login.partition(":")
    shown = f"{scheme}://{user if has_password else ''}"
    shown += (":***@" if has_password else "***@") if has_login else ""
    plain, mark = re.match(r"([^;#]*)([;#]?)", place).groups()  # type: ignore[union-attr]
    address, question, query = plain.partition("?")
    if scheme != "unix":
        hosts, slash, path = address.partition("/")
        named = hosts.split(",") if "+" in scheme else [hosts]
        is_sound = all(map(_HOST.fullmatch, named))
        if not (is_sound and scheme.endswith("+sentinel") and _PATH.fullmatch(path)):
            path = path if not path or path.isdecimal() else "***"
        address = f"{','.join(map(_redact_host, named))}{slash}{path}"
    options = "&".join(map(_redact_option, query.split("&")))
    return f"{shown}{address}{question}{options}{mark}{'***' if mark else ''}"


def _redact_host(host: str) -> str:
    if _HOST.fullmatch(host):
        return host
    name, has_port, _ = host.partition(":")
    return f"{name}:***" if has_port and _HOST.fullmatch(name) else "***"


def _redact_option(option: str) -> str:
    name, separator, _ = option.partition("=")
    if not separator:
        return "***" if option else ""
    return f"{name}=***" if _SECRET.search(name) else option


def check_settings(
    url: object,
    namespace: object,
    timeout: object,
    *,
    inline: object = False,
    max_payload: object = 1,
) -> None:
    """Raise ConfigError if an argument of a client cannot be used."""
    if not isinstance(url, str):
        raise ConfigError(
            f"redis url must be a str such as {DEFAULT_URL!r}, not"
            f" {type(url).__name__}: a client opens connections of its own"
        )
    if not isinstance(namespace, str) or not namespace:
        raise ConfigError(f"namespace {namespace!r} is not a str such as 'resque'")
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise ConfigError(f"timeout {timeout!r} is not a number of seconds above 0")
    if not isinstance(inline, bool):
        raise ConfigError(f"inline {inline!r} is not True or False")
    is_number = isinstance(max_payload, int) and not isinstance(max_payload, bool)
    if not (is_number and max_payload > 0):  # type: ignore[operator]
        raise ConfigError(
            f"max_payload {max_payload!r} is not a whole number of bytes above 0"
        )
