"""The filter of failures in the API: in queries of GET, and in bodies of orders.

The words are those of the pages, but `retried` is true or false.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, url_for

from resqued.errors import ResquedError, StoreError
from resqued.store.failure_filter import FailureFilter
from resqued.web import api_shapes, tasks
from resqued.web.api_answers import LONGEST_TEXT, answer, refuse
from resqued.web.failure_choice import NAMES, RATE, UP_TO, USUAL_RATE, filter_of
from resqued.web.formats import sees_args
from resqued.web.site import site

CONDITIONS = tuple(name for name in NAMES if name != "list")
# What a body has to act on all failures of a filter.
BULK: Mapping[str, type] = {"filter": dict, "up_to": dict, "rate": int}
_RETRIED = {"true": "yes", "false": "no"}
_FASTEST = 1_000_000


def choice_in(values: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, str]:
    """Return the conditions of a query or body as pages have them; refuses others."""
    found = {}
    for name, value in values.items():
        if name not in known:
            refuse(422, f"there is no condition {name[:40]!r}: {', '.join(known)}")
        text = json.dumps(value) if isinstance(value, bool) else value
        if not isinstance(text, str) or len(text) > LONGEST_TEXT:
            refuse(422, f"{name} is no text of at most {LONGEST_TEXT} characters")
        if name == "retried" and text:
            if text not in _RETRIED:
                refuse(422, f"retried={text[:40]!r} is none of true, false")
            text = _RETRIED[text]
        if text:
            found[name] = text
    return found


def which_of(choice: Mapping[str, str]) -> FailureFilter:
    """Return what conditions mean; refuses a time that is none."""
    try:
        return filter_of(choice, site(), sees_args=sees_args())
    except ResquedError as error:
        refuse(422, str(error))


def start_bulk(kind: str, sent: Mapping[str, Any]) -> Response:
    """Start a task for all failures of a filter, and answer with it.

    Only up to `up_to`, the ends of the lists that the caller has seen.
    """
    for name in ("ids", "list", "queue"):
        if name in sent:
            refuse(422, f"{name} is for single failures: send it without filter")
    choice = choice_in(sent["filter"], tuple(NAMES))
    which_of(choice)
    choice[UP_TO] = json.dumps(_up_to(sent))
    rate = sent.get("rate", 0 if kind == "remove" else USUAL_RATE)
    if not 0 <= rate <= _FASTEST:
        refuse(422, f"rate is no number from 0 to {_FASTEST}")
    choice[RATE] = str(rate)
    try:
        task_id = tasks.start(kind, choice)
    except StoreError:
        raise
    except ResquedError as error:
        refuse(422, str(error))
    response = answer(api_shapes.task(tasks.find(task_id)), 202)
    response.headers["Location"] = url_for("api_tasks.show", task_id=task_id)
    return response


def _up_to(sent: Mapping[str, Any]) -> dict[str, str]:
    """Return the ends that were seen; refuses lists that are not there."""
    found = sent.get("up_to", {})
    if not found or not all(isinstance(each, str) for each in found.values()):
        refuse(422, "up_to is missing: take that of GET failures or of GET groups")
    lists = site().client.failures.lists()
    for name in found:
        if name not in lists:
            refuse(422, f"up_to: there is no list {name[:100]!r}")
    return {str(name): str(end) for name, end in found.items()}
