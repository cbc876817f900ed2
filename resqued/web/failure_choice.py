"""Which failures a URL, a form or a task means: its filter, in the words of the URL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from flask import request

from resqued.core.roles import VIEW_ARGS
from resqued.core.text_filter import TextFilter
from resqued.errors import ResquedError
from resqued.store.failure_filter import FailureFilter
from resqued.store.seen_bound import SeenBound
from resqued.web.identity import current_user
from resqued.web.site import Site

# The names of the filter in a URL, each with its words.
NAMES: Mapping[str, str] = {
    "class": "of the class {}",
    "queue": "from the queue {}",
    "exception": "with the exception {}",
    "host": "on the host {}",
    "group": "of the group {}",
    "retried": "",
    "from": "from {} UTC",
    "to": "before {} UTC",
    "text": "with the text “{}”",
    "list": "in the list {}",
}
UP_TO, RATE, EXPECTED, SEES_ARGS = "up_to", "rate", "expected", "sees_args"
# A retry of very many jobs must be no flood, if nobody says otherwise: jobs a second.
USUAL_RATE = 200
_LONGEST = 500
_WORDS = {"yes": "that were retried", "no": "that were not retried"}


def asked_for() -> dict[str, str]:
    """Return the filter of the present request, without empty conditions."""
    return choice_of(request.values)


def choice_of(values: Mapping[str, str]) -> dict[str, str]:
    """Return the filter in the values of a form or of a URL."""
    found = {name: values.get(name, "").strip()[:_LONGEST] for name in NAMES}
    if found["retried"] not in _WORDS:
        found["retried"] = ""
    return {name: value for name, value in found.items() if value}


def filter_of(
    choice: Mapping[str, str], site: Site, *, sees_args: bool
) -> FailureFilter:
    """Return what a choice means; raise ResquedError for a time that is none."""
    text = choice.get("text")
    hidden = site.settings.redact
    return FailureFilter(
        class_name=choice.get("class"),
        queue=choice.get("queue"),
        exception=choice.get("exception"),
        since=moment(choice.get("from")),
        until=moment(choice.get("to")),
        is_retried={"yes": True, "no": False}.get(choice.get("retried", "")),
        host=choice.get("host"),
        group=choice.get("group"),
        text=TextFilter(text, sees_args=sees_args, hidden=hidden) if text else None,
    )


def sees_args() -> bool:
    """Return True if the present user may see the arguments of jobs."""
    user = current_user()
    return user is not None and user.may(VIEW_ARGS)


def in_words(choice: Mapping[str, str]) -> str:
    """Return a choice in words, as in: all failures of the class Mail."""
    said = [
        _WORDS[value]
        if name == "retried"
        else words.format(value.replace("T", " "))
        if name in ("from", "to")
        else words.format(value)
        for name, words in NAMES.items()
        if (value := choice.get(name))
    ]
    return " ".join(["failures", *said]) if said else "all failures"


def bounds_of(choice: Mapping[str, str]) -> dict[str, SeenBound]:
    """Return up to where each list was seen; raise ResquedError if it is not valid.

    With a list in the choice, `up_to` may be the place of the newest failure alone.
    """
    text, chosen = choice.get(UP_TO, ""), choice.get("list")
    if chosen and not text.startswith("{"):
        return {chosen: SeenBound.of(text)}
    try:
        found = json.loads(text)
        bounds = {str(name): SeenBound.of(str(end)) for name, end in found.items()}
    except (ValueError, AttributeError):
        raise ResquedError(f"up_to={text[:40]!r} is no end of a list") from None
    return {n: end for n, end in bounds.items() if chosen in (None, n)}


def bounds_text(bounds: Mapping[str, SeenBound]) -> str:
    """Return the ends of lists as a form sends them."""
    return json.dumps({name: str(bound) for name, bound in bounds.items()})


def moment(text: str | None) -> float | None:
    """Return a time in UTC, such as 2026-11-28T14:00, in seconds since the epoch.

    None if there is no text. Raises ResquedError for a text that is no time.
    """
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ResquedError(
            f"{text[:40]!r} is no time: write it as 2026-11-28T14:00 (UTC)"
        ) from None
