"""The settings of the web front end, and their keys in the section [web]."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, field

from resqued.config import readers
from resqued.config.field import Field
from resqued.core.roles import METRICS as METRICS_SCOPE
from resqued.core.roles import OPERATOR, ROLES
from resqued.store.server_url import DEFAULT_URL
from resqued.wire.keys import DEFAULT_NAMESPACE

DEFAULT_LISTEN = "127.0.0.1:5678"
AUTH = ("none", "password", "proxy")
METRICS = ("login", "open")
# A name of DNS, or an address; one of IPv6 may stand in brackets, as in a URL.
_HOST = re.compile(r"[\w.-]+|\[?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*\]?")


class WebSettings(Struct, frozen=True):
    """The settings of the web front end.

    `listen`: host:port, unix:PATH, or `fd:` for the socket that systemd passes.
    `title` and `color` mark the pages of one system. `hosts`: the names that it answers
    to beside localhost and the address that it listens on. `trusted_proxies`: the
    addresses whose X-Forwarded headers count. `users`: the file of users.
    `secret_file`: the key that signs sessions. `roles`: the groups of each role, with
    `auth = "proxy"`. `show_args`: the least role that sees arguments. `redact`: the
    names of arguments that no page shows. `index`: how many of the newest failures are
    grouped. `links`: URLs with {class}, {queue} and {id}, by their names.
    `tokens`: scope:hash of each bearer token by its name.
    `control`: the directory of the control sockets.
    """

    url: str = DEFAULT_URL
    namespace: str = DEFAULT_NAMESPACE
    listen: str = DEFAULT_LISTEN
    prefix: str = ""
    title: str = ""
    color: str = ""
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    auth: str = "none"
    users: str = ""
    secret_file: str = ""
    proxy_user: str = "X-Remote-User"
    proxy_groups: str = "X-Remote-Groups"
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    read_only: bool = False
    show_args: str = OPERATOR
    redact: tuple[str, ...] = ()
    index: int = 500_000
    metrics: str = "login"
    links: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    control: str = ""
    max_payload: int = 0


def groups_of_roles(value: object) -> dict[str, tuple[str, ...]]:
    """Read a table with the groups of each role; raise ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f'{value!r} must be a table, as in {{ admin = ["ops"] }}')
    for role in value:
        if role not in ROLES:
            known = ", ".join(ROLES)
            hint = readers.suggest(str(role), ROLES)
            raise ValueError(f"there is no role {role!r}{hint}: {known}")
    return {role: readers.names(groups) for role, groups in value.items()}


def texts(value: object) -> dict[str, str]:
    """Read a table of texts; raise ValueError."""
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) for text in value.values()
    ):
        # Not the value: it may be a token.
        raise ValueError('must be a table of texts, as in { name = "read:…" }')
    return {str(name): text for name, text in value.items()}


def tokens(value: object) -> dict[str, str]:
    """Read a table of bearer tokens, as scope:hash; raise ValueError without a hash."""
    found = texts(value)
    scopes = (METRICS_SCOPE, *ROLES)
    for name, stored in found.items():
        scope, _, hashed = stored.partition(":")
        # What is not of this form may be the token itself, so it is not shown.
        if scope not in scopes or not hashed.startswith("sha256$"):
            raise ValueError(
                f"the token {name!r} must be SCOPE:HASH, as `resqued web token new`"
                f" prints it, and SCOPE one of {', '.join(scopes)}"
            )
    return found


def hosts(value: object) -> tuple[str, ...]:
    """Read names of hosts, without scheme and port; raise ValueError."""
    found = readers.names(value)
    for each in found:
        if not _HOST.fullmatch(each) or (each.count(":") == 1):
            raise ValueError(f"{each!r} must be a name alone{_host_hint(each)}")
    return tuple(_as_sent(each.strip("[]")) for each in found)


def _as_sent(name: str) -> str:
    """Return a name as browsers send it: in ASCII (RFC 3490)."""
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        raise ValueError(f"{name!r} is no name of a host") from None


def _host_hint(text: str) -> str:
    """Return the name of a host that a URL, or a name with a port, has in it."""
    try:
        name = urlsplit(text if "//" in text else f"//{text}").hostname or ""
    except ValueError:
        name = ""
    return f", without scheme and port: {name}" if _HOST.fullmatch(name) else ""


def networks(value: object) -> tuple[str, ...]:
    """Read addresses and networks, such as 10.0.0.0/8; raise ValueError."""
    found = readers.names(value)
    for each in found:
        try:
            ipaddress.ip_network(each, strict=False)
        except ValueError:
            raise ValueError(
                f"{each!r} is no address of a proxy: it must be one such as 10.0.0.1,"
                " or a network such as 10.0.0.0/8"
            ) from None
    return found


def prefix(value: object) -> str:
    """Read a path such as /resque; raise ValueError."""
    found = readers.text(value).rstrip("/")
    if found and (not found.startswith("/") or "//" in found or "?" in found):
        raise ValueError(f"{value!r} must be a path such as /resque")
    return found


WEB_FIELDS = (
    Field(
        "web",
        "listen",
        readers.text,
        DEFAULT_LISTEN,
        'where the pages are: host:port, unix:PATH, or "fd:" for a socket of systemd',
    ),
    Field(
        "web",
        "prefix",
        prefix,
        "",
        "path below which a proxy has the pages",
        '"/resque"',
    ),
    Field(
        "web",
        "title",
        readers.text,
        "",
        "name of this system in the header of each page",
        '"production"',
    ),
    Field(
        "web",
        "color",
        readers.choice(("", "red", "orange", "green", "blue", "purple")),
        "",
        "color of the header: red, orange, green, blue or purple",
        '"red"',
    ),
    Field(
        "web",
        "hosts",
        hosts,
        (),
        "names that the pages answer to, beside localhost and the address of `listen`",
        '["resqued.example.org"]',
    ),
    Field(
        "web",
        "trusted_proxies",
        networks,
        (),
        "addresses of proxies whose X-Forwarded headers and users count",
        '["127.0.0.1"]',
    ),
    Field(
        "web",
        "auth",
        readers.choice(AUTH),
        "none",
        "login: password, proxy (its header names the user), or none",
    ),
    Field(
        "web",
        "users",
        readers.text,
        "",
        "file of users, made by `resqued web user add`",
        '"/etc/resqued/web-users"',
    ),
    Field(
        "web",
        "secret_file",
        readers.text,
        "",
        "file with the key that signs sessions, made when it is missing",
        '"/var/lib/resqued/web-secret"',
    ),
    Field(
        "web",
        "proxy_user",
        readers.text,
        "X-Remote-User",
        "header with the name of the user, with auth = proxy",
    ),
    Field(
        "web",
        "proxy_groups",
        readers.text,
        "X-Remote-Groups",
        "header with the groups of the user, separated by commas",
    ),
    Field(
        "web",
        "roles",
        groups_of_roles,
        {},
        "groups of each role (viewer, operator, admin), with auth = proxy; * is all",
        '{ admin = ["ops"], operator = ["dev"], viewer = ["*"] }',
    ),
    Field(
        "web",
        "read_only",
        readers.flag,
        False,
        "no page changes anything, whatever the role",
        "false",
    ),
    Field(
        "web",
        "show_args",
        readers.choice(ROLES),
        OPERATOR,
        "least role that sees the arguments of jobs: viewer, operator or admin",
    ),
    Field(
        "web",
        "redact",
        readers.names,
        (),
        "names of arguments that no page shows, beside [log] redact",
        '["password"]',
    ),
    Field(
        "web",
        "index",
        readers.whole(1_000, 10_000_000),
        500_000,
        "how many of the newest failures are grouped",
    ),
    Field(
        "web",
        "metrics",
        readers.choice(METRICS),
        "login",
        "who may read /metrics: login (users and tokens) or open (everybody)",
    ),
    Field(
        "web",
        "links",
        texts,
        {},
        "links on the page of a failure, with {class}, {queue} and {id}",
        '{ Sentry = "https://sentry.example.org/?query={class}" }',
    ),
    Field(
        "web",
        "tokens",
        tokens,
        {},
        "bearer tokens by name, made by `resqued web token new`",
        '{ prometheus = "metrics:sha256$..." }',
    ),
)


def web_settings(values: Mapping[tuple[str, str], Any]) -> WebSettings:
    """Return the settings of the web front end from the values of all keys."""
    own = {key: value for (section, key), value in values.items() if section == "web"}
    own["redact"] = (*values["log", "redact"], *own["redact"])
    return WebSettings(
        url=values["redis", "url"],
        namespace=values["redis", "namespace"],
        control=values["control", "directory"],
        max_payload=values["worker", "max_payload"],
        **own,
    )
