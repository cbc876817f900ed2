"""The arguments of a job in the form in which a log may show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

HIDDEN = "[redacted]"
# The most characters of one argument that are logged.
LONGEST = 500


def arguments(
    names: Sequence[str], args: Sequence[object], hidden: Collection[str]
) -> dict[str, str]:
    """Return the text of each argument by its name, or by its index without a name.

    The values of arguments and of object keys whose names are in `hidden`, in upper or
    lower case and at any depth, are replaced. Texts are cut at LONGEST characters.
    """
    secret = {name.lower() for name in hidden}
    texts = {}
    for index, arg in enumerate(args):
        name = names[index] if index < len(names) else str(index)
        text = HIDDEN if name.lower() in secret else _text(arg, secret)
        texts[name] = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return texts


def _text(arg: object, secret: Collection[str]) -> str:
    try:
        value = redacted(arg, secret)
        return value if isinstance(value, str) else repr(value)
    except RecursionError:
        return HIDDEN  # nested too deeply to be searched


def redacted(value: object, secret: Collection[str]) -> object:
    """Return a JSON value in which the values of secret keys are replaced.

    `secret` holds the names of the keys in lower case.
    """
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if str(key).lower() in secret else redacted(inner, secret)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner, secret) for inner in value]
    return value
