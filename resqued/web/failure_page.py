"""One failure, with all that is known of it."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any
from urllib.parse import quote

from flask import Response, abort, url_for

from resqued.core.redaction import HIDDEN, redacted
from resqued.core.roles import VIEW_ARGS
from resqued.core.traceback_runs import TracebackRun, traceback_runs
from resqued.errors import PayloadError
from resqued.store.failure_entry import Failure
from resqued.web.failure_reasons import REASONS
from resqued.web.failure_relatives import relatives_of
from resqued.web.failure_search import (
    chosen_list,
    enqueue_url,
    failure_url,
    form_id,
    list_word,
    of_url,
    place_of_url,
    story,
)
from resqued.web.formats import redacted_args, shown_args
from resqued.web.identity import current_user
from resqued.web.render import page
from resqued.web.site import site
from resqued.wire import payload

# The most characters and lines of an entry that stand on the page.
_LONGEST_TEXT, _LONGEST_LINE, _MOST_LINES = 20_000, 2_000, 500
_FIELDS = {
    *("failed_at", "payload", "exception", "error", "backtrace", "worker"),
    *("queue", "retried_at", "attempt"),
}
_LINK = re.compile(r"\{(class|queue|id)\}")


def show(failure_id: str) -> Response:
    """Show a failure."""
    found = of_url(failure_id)
    if found.failure is None:
        return _gone(failure_id, is_partial=found.is_partial)
    failure = found.failure
    return page(
        "failure.html",
        failure=failure,
        asked=failure_id,
        retried_since=story(failure_id) if found.is_retried_since else "",
        form_id=form_id(failure),
        list_word=list_word,
        args=_args(failure),
        has_job=_has_job(failure),
        reason=REASONS.get(failure.exception, ""),
        error=failure.error[:_LONGEST_TEXT],
        is_cut=len(failure.error) > _LONGEST_TEXT,
        trace=_trace(failure),
        others=_others(failure),
        raw_text=_raw_text(failure),
        commands=_commands(failure),
        links=_links(failure),
        neighbours=_neighbours(failure),
        raw_url=_raw_url(failure),
        enqueue_url=enqueue_url(failure),
        relatives=relatives_of(failure) if failure.fields else None,
    )


def raw(failure_id: str) -> Response:
    """Send the entry as it is in Redis, or without what must not be shown."""
    failure = of_url(failure_id).failure
    if failure is None:
        return _gone(failure_id, is_partial=False)
    answer = Response(_raw(failure), mimetype="text/plain")
    answer.headers["Content-Disposition"] = f'attachment; filename="{failure.id}.txt"'
    return answer


def _gone(failure_id: str, *, is_partial: bool) -> Response:
    """Say what became of a failure that is not there, with a link to the next one."""
    where = place_of_url() or 0
    chosen = chosen_list()
    following = chosen.between(where, where + 1) or chosen.newest(1).failures
    return page(
        "failure_gone.html",
        status=404,
        failure_id=failure_id,
        what="" if is_partial else story(failure_id),
        next_url=failure_url(following[0]) if following else "",
    )


def _has_job(failure: Failure) -> bool:
    try:
        payload.retry_job(failure.entry)
    except PayloadError:
        return False
    return True


def _args(failure: Failure) -> Any:
    return shown_args(failure.class_name, failure.args)


def _may_see() -> bool:
    user = current_user()
    return user is not None and user.may(VIEW_ARGS)


def _trace(failure: Failure) -> list[TracebackRun]:
    lines = [line for each in failure.backtrace for line in each.splitlines()]
    if len(lines) > _MOST_LINES:
        half, left_out = _MOST_LINES // 2, len(lines) - _MOST_LINES
        lines = [*lines[:half], f"({left_out} lines left out)", *lines[-half:]]
    return traceback_runs(line[:_LONGEST_LINE] for line in lines)


def _others(failure: Failure) -> dict[str, str]:
    """Return the fields that only some programs write, as texts."""
    own = {n: v for n, v in failure.fields.items() if n not in _FIELDS}
    shown = redacted(own, _secret())
    assert isinstance(shown, dict)
    return {n[:100]: _text(v)[:_LONGEST_LINE] for n, v in list(shown.items())[:50]}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _secret() -> set[str]:
    return {name.lower() for name in site().settings.redact}


def _raw(failure: Failure) -> bytes:
    """Return the bytes of an entry; with [web] redact those of its fields, redacted."""
    if not _secret():
        return failure.entry
    if not failure.fields:
        abort(403, "the entry is no JSON, so [web] redact cannot hide parts of it")
    fields = redacted(failure.fields, _secret())
    assert isinstance(fields, dict)
    if isinstance(fields.get("payload"), dict):
        fields["payload"]["args"] = _redacted_args(failure)
    elif "payload" in fields:
        fields["payload"] = HIDDEN  # no job, so nothing of it can be found
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _redacted_args(failure: Failure) -> list[Any]:
    return redacted_args(failure.class_name, failure.args)


def _raw_text(failure: Failure) -> str:
    """Return the beginning of an entry that is no failure; "" if it is one."""
    if failure.fields:
        return ""
    if not _may_see() or _secret():
        return HIDDEN
    return failure.entry[:_LONGEST_LINE].decode("utf-8", "backslashreplace")


def _raw_url(failure: Failure) -> str:
    url = url_for("failure.raw", failure_id=failure.id)
    return f"{url}{failure_url(failure).partition(failure.id)[2]}"


def _commands(failure: Failure) -> list[tuple[str, str]]:
    """Return commands that somebody may copy to a shell, each with what it does."""
    found = [("All of it on a terminal", f"resqued failed show {failure.id}")]
    if failure.class_name != payload.UNKNOWN_JOB:
        field = shlex.quote(f"RESQUED_CLASS={failure.class_name}")
        found.append(("The log of the class", f"journalctl {field}"))
        args = json.dumps(_redacted_args(failure), ensure_ascii=True)
        if _may_see() and HIDDEN not in args and len(args) <= _LONGEST_LINE:
            texts = [json.dumps(arg) for arg in failure.args]
            words = [f"--queue={failure.queue}", "--", failure.class_name, *texts]
            command = f"resqued enqueue {shlex.join(words)}"
            found.append(("Enqueue the job once more", command))
    return [each for each in found if each[1].isprintable()]


def _links(failure: Failure) -> list[tuple[str, str]]:
    """Return the links of [web] links, with the values of this failure."""
    values = {
        "class": failure.class_name,
        "queue": failure.queue,
        "id": failure.id,
    }
    made = []
    for name, pattern in site().settings.links.items():
        url = _LINK.sub(
            lambda found: quote(values[found[1]], safe="", errors="replace"), pattern
        )
        if url.lower().startswith(("http://", "https://")):
            made.append((name, url))
    return made


def _neighbours(failure: Failure) -> dict[str, str]:
    """Return the URLs of the next newer and older failure; "" for one that is not."""
    urls = {"older": "", "newer": ""}
    at = failure.position
    if at < 0:
        return urls
    start = max(0, at - 1)
    found = site().client.failures.in_list(failure.list_name).between(start, at + 2)
    names = {at - 1: "older", at + 1: "newer"}
    return urls | {
        names[each.position]: failure_url(each)
        for each in found
        if each.position in names
    }
