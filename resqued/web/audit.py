"""Who did what: a stream in Redis, and a line in the log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from flask import g, request
from msgspec import Struct

from resqued.errors import StoreError
from resqued.log import logger
from resqued.web.identity import current_user
from resqued.web.site import Site, site

# About how many actions are kept.
KEPT = 10_000
_CHUNK = 1_000
# Actions that change failures without naming each.
_CLEARING = ("clear", "clear retried", "retry all")
_BULK = ("retry", "retry and remove", "remove")
# What the API, pages and tasks call the same action.
_SAME = {"retry_remove": "retry and remove"}


class AuditRecord(Struct, frozen=True):
    """One action of the stream; texts are "" where the record has none.

    `place` is the id in the stream, `at` its time in seconds since the epoch. `ids` are
    those of the failures that it acted on.
    """

    place: str
    at: float
    user: str
    role: str
    address: str
    action: str
    target: str
    result: str
    request_id: str
    count: int
    ids: tuple[str, ...]

    @property
    def shown_user(self) -> str:
        """The name of the user; without a login there is none."""
        return self.user or "somebody"


class Author(Struct, frozen=True):
    """Who asked for an action, at which site, from where, and in which request."""

    site: Site
    user: str
    role: str
    address: str = ""
    request_id: str = ""


def record(
    action: str,
    target: str,
    *,
    count: int = 1,
    result: str = "done",
    ids: Sequence[str] = (),
) -> None:
    """Record an action of the present user.

    `action` is a verb, as in retry; `target` names what it acted on, `count` how many
    that were, and `ids` which failures. That the stream cannot be written does not stop
    the action.
    """
    # What fails from here on has not undone it.
    g.has_acted = count > 0 or g.get("has_acted", False)
    record_of(author(), action, target, count=count, result=result, ids=ids)


def in_words(action: str) -> str:
    """Return the one name that the audit has for an action, as in remove queue."""
    return _SAME.get(action, action.replace("_", " "))


def author() -> Author:
    """Return the user of the present request."""
    user = current_user()
    return Author(
        site(),
        user.name if user else "",
        user.role if user else "",
        request.remote_addr or "",
        g.request_id,
    )


def record_of(  # noqa: PLR0913 - the fields of a record
    by: Author,
    action: str,
    target: str,
    *,
    count: int,
    result: str,
    ids: Sequence[str] = (),
) -> None:
    """Record an action of a user whose request may have ended."""
    fields: dict[str, Any] = {
        "user": by.user,
        "role": by.role,
        "address": by.address,
        "action": in_words(action),
        "target": target[:500],
        "count": count,
        "result": result[:500],
        "request_id": by.request_id,
    }
    logger.get().info("web_action", **fields)
    if by.site.settings.read_only:
        return
    text = json.dumps(fields | ({"ids": list(ids)} if ids else {}))
    with suppress(StoreError):
        by.site.client.registry.link.call(
            "XADD", by.site.keys.audit, "MAXLEN", "~", KEPT, "*", "action", text
        )


def newest_first(before: str = "", most: int = KEPT) -> Iterator[AuditRecord]:
    """Yield the records, or those before one by its place; raise StoreError.

    `most` is how many are read at most.
    """
    key, link = site().keys.audit, site().client.registry.link
    end = f"({before}" if before else "+"
    while most > 0:
        count = min(_CHUNK, most)
        found = link.call("XREVRANGE", key, end, "-", "COUNT", count)
        for place, fields in found:
            yield _read(place.decode(), fields)
        if len(found) < count:
            return
        end = f"({found[-1][0].decode()}"
        most -= count


def action_on(failure_id: str) -> AuditRecord | None:
    """Return the last action on a failure, among the last 1,000 actions of all."""
    recent = newest_first(most=_CHUNK)
    return next((each for each in recent if failure_id in each.ids), None)


def last_sweep() -> AuditRecord | None:
    """Return the last action on many failures, among the last 1,000 actions of all."""
    recent = newest_first(most=_CHUNK)
    return next((each for each in recent if _is_sweep(each)), None)


def _is_sweep(record: AuditRecord) -> bool:
    is_task = record.target.startswith("task ") and record.action in _BULK
    return record.count > 0 and (is_task or record.action in _CLEARING)


def _read(place: str, fields: Mapping[bytes, bytes]) -> AuditRecord:
    """Return a record; what another program has written there is shown as it is."""
    text = next(iter(fields.values()), b"").decode("utf-8", "backslashreplace")
    values: Any = None
    with suppress(ValueError, RecursionError):
        values = json.loads(text)
    if not isinstance(values, dict):
        values = {"target": text}
    count, ids = values.get("count"), values.get("ids")

    def text_of(name: str) -> str:
        return str(values.get(name, ""))[:500]

    return AuditRecord(
        place,
        int(place.partition("-")[0]) / 1000,
        user=text_of("user"),
        role=text_of("role"),
        address=text_of("address"),
        action=in_words(text_of("action")),
        target=text_of("target"),
        result=text_of("result"),
        request_id=text_of("request_id"),
        count=count if isinstance(count, int) else 1,
        ids=tuple(map(str, ids)) if isinstance(ids, list) else (),
    )
