"""The keys of [failure]: where failures go, and how many are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from resqued.config import readers
from resqued.config.field import Field
from resqued.wire.failure_place import BACKENDS, REDIS, REDIS_MULTI_QUEUE


def backends(value: object) -> tuple[str, ...]:
    """Return the names of back ends, or class paths; raise ValueError.

    One of the two lists in Redis comes first, `redis` if none is named.
    """
    names = value.split(",") if isinstance(value, str) else value
    found = tuple(dict.fromkeys(name.strip() for name in readers.names(names)))
    for name in found:
        if name not in BACKENDS and not _is_class_path(name):
            hint = readers.suggest(name, BACKENDS)
            raise ValueError(
                f"{name!r} is no back end{hint}: {', '.join(BACKENDS)},"
                " or a class as module.Class"
            )
    if REDIS in found and REDIS_MULTI_QUEUE in found:
        raise ValueError(f"{REDIS} and {REDIS_MULTI_QUEUE} exclude each other")
    stores = [name for name in found if name in (REDIS, REDIS_MULTI_QUEUE)] or [REDIS]
    return (*stores, *(name for name in found if name not in stores))


def _is_class_path(name: str) -> bool:
    module, _, cls = name.replace(":", ".").rpartition(".")
    return bool(module) and all(map(str.isidentifier, [*module.split("."), cls]))


def web_address(value: object) -> str:
    """Return an address of a web server, or ""; raise ValueError.

    The errors have no part of it: it may be a secret.
    """
    address = readers.secret_text(value)
    if not address:
        return ""
    if not address.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if not address.isascii() or any(char <= " " for char in address):
        raise ValueError("must have no blanks and only ASCII: write %20 for a blank")
    try:
        parts = urlsplit(address)
        is_wrong = parts.port == 0
    except ValueError:
        is_wrong = True
    if is_wrong:
        raise ValueError("must have a port from 1 to 65535, if any")
    if not parts.hostname:
        raise ValueError("must name a host, as in https://hooks.example.com/failures")
    return address


def missing_keys(values: Mapping[tuple[str, str], Any]) -> list[str]:
    """Return the problem of a back end that lacks a key of [failure]."""
    has_webhook = "webhook" in values["failure", "backends"]
    if has_webhook and not values["failure", "webhook_url"]:
        return ["[failure] webhook_url: missing: the back end webhook needs it"]
    return []


def masked_address(address: str) -> str:
    """Return an address without what may be a secret: all but scheme, host and port."""
    if not address:
        return ""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    rest = address.partition("://")[2]
    shown = f"{'***@' if '@' in parts.netloc else ''}{host}"
    return f"{parts.scheme}://{shown}{'' if rest == parts.netloc else '/***'}"


def failure_settings(values: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    """Return the values of [failure] by their names among the settings of workers."""
    names = {
        "backends": "failure_backends",
        "locals": "failure_locals",
        "max_age": "max_failure_age",
    }
    return {
        names.get(key, key): value
        for (section, key), value in values.items()
        if section == "failure"
    }


FAILURE_FIELDS = (
    Field(
        "failure",
        "backends",
        backends,
        (REDIS,),
        f"where failures go: {', '.join(BACKENDS)}, or module.Class",
        '["redis"]',
    ),
    Field(
        "failure",
        "webhook_url",
        web_address,
        "",
        "address that the back end webhook posts failures to",
        '"https://example.com/failures"',
    ),
    Field(
        "failure",
        "locals",
        readers.flag,
        False,
        "send local variables of failed jobs to Sentry",
        "false",
    ),
    Field(
        "failure",
        "delivery_timeout",
        readers.positive,
        10.0,
        "maximum time of one delivery to another service",
        '"10s"',
    ),
    Field(
        "failure",
        "max_failures",
        readers.whole(0, 10**12),
        0,
        "failures that a list in Redis keeps; 0: all",
    ),
    Field(
        "failure",
        "max_age",
        readers.long_duration,
        0.0,
        "time after which a failure is removed from Redis; 0: never",
        '"30d"',
    ),
)
