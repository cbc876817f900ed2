"""What these pages are: versions, the user's role, what is off, keys and memory."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib import metadata

from flask import Response

from resqued.core.roles import CAPABILITIES
from resqued.errors import StoreError
from resqued.store.history import HistorySize
from resqued.store.server_facts import ServerFacts
from resqued.web.identity import current_user
from resqued.web.presence import Presence
from resqued.web.render import page
from resqued.web.site import site

_PACKAGES = ("flask", "werkzeug", "jinja2", "waitress", "prometheus-client", "redis")
# What resqued alone writes, below `resqued:`; docs/wire-format.md has each key.
KEYS = {
    "resqued:workers": "identities of workers",
    "resqued:masters, resqued:master:ID": "records of masters",
    "resqued:watch, resqued:detail:ID": "states of workers while a page shows them",
    "resqued:jobs": "names of arguments and limits of jobs",
    "resqued:paused": "paused queues",
    "resqued:schedules…": "recurring jobs",
    "resqued:scheduler": "which master moves delayed jobs",
    "resqued:line:LIST": "masters that wait for jobs",
    "resqued:retry:JOB": "when the first attempt of a job began",
    "resqued:quarantine, resqued:deaths:JOB, resqued:followed": "jobs that kill",
    "resqued:hist:…": "the history of runs and queues",
    "resqued:outbox:…, resqued:captured:…": "failures for other services",
    "resqued:bulk…": "bulk operations on lists",
    "resqued:audit": "actions of users of these pages",
}


def show() -> Response:
    """Show what these pages are, and what the user may do."""
    facts, size = None, None
    try:
        facts = site().facts.server.value()
        size = site().facts.history_size.value()
    except StoreError:
        pass  # the frame of the page says why
    user = current_user()
    may = user.capabilities if user else frozenset()
    return page(
        "about.html",
        versions=dict(_versions(facts)),
        capabilities=[(text, name in may) for name, text in CAPABILITIES.items()],
        size=size,
        off=list(_off(size)),
        keys=KEYS,
    )


def _versions(facts: ServerFacts | None) -> Iterator[tuple[str, str]]:
    yield "Python", platform.python_version()
    if facts:
        kind = "valkey" if "valkey_version" in facts.info else "redis"
        yield f"server ({kind})", facts.info.get(f"{kind}_version", "not known")
    for name in _PACKAGES:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # another server than waitress, for instance


def _off(size: HistorySize | None) -> Iterator[tuple[str, str]]:
    """Yield what does not work here, with the reason or the way out."""
    settings = site().settings
    if settings.read_only:
        yield "all changes", "read_only is true in [web]"
    if settings.auth == "none":
        yield "logins", "auth is none in [web]: everybody who can connect is admin"
    if settings.show_args == "admin":
        yield "arguments for operators", "show_args is admin in [web]"
    if not settings.redact:
        yield "hiding of arguments", "redact names none in [web] and [log]"
    if not settings.secret_file:
        yield "sessions over a restart", "secret_file is not set in [web]"
    if size is not None and not size.keys:
        yield "history", "no worker of resqued has run, or resolution is off"
    if not site().facts.presence.value_or(Presence()).masters:
        yield "masters", "no master of resqued has a record in this namespace"
