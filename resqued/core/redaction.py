"""The arguments of a job as a log may show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

HIDDEN = "[redacted]"
# More of an argument is for the queue, not for the log.
LONGEST = 500


def arguments(
    names: Sequence[str], args: Sequence[object], hidden: Collection[str]
) -> dict[str, str]:
    """Return each argument under its name, or its place where it has none.

    Those that are `hidden`, in whatever case, are not shown, however deep they stand.
    """
    secret = {name.lower() for name in hidden}
    shown = {}
    for place, value in enumerate(args):
        name = names[place] if place < len(names) else str(place)
        found = HIDDEN if name.lower() in secret else redacted(value, secret)
        text = found if isinstance(found, str) else repr(found)
        shown[name] = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return shown


def redacted(value: object, secret: Collection[str]) -> object:
    """Return a value of JSON with what stands under a secret key left out."""
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if str(key).lower() in secret else redacted(inner, secret)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner, secret) for inner in value]
    return value
