"""The arguments of a job in the form in which a log may show them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

HIDDEN = "[redacted]"
# The most characters of one argument that are logged.
LONGEST = 500
# The most levels of lists and objects that are searched for keys.
DEEPEST = 100


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
        value = HIDDEN if name.lower() in secret else redacted(arg, secret)
        text = value if isinstance(value, str) else repr(value)
        texts[name] = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return texts


def redacted(value: object, secret: Collection[str], depth: int = 0) -> object:
    """Return a JSON value in which the values of secret keys are replaced.

    `secret` holds the names of the keys in lower case. What is nested more than DEEPEST
    levels deep is replaced too.
    """
    if isinstance(value, (Mapping, list)) and depth >= DEEPEST:
        return HIDDEN
    if isinstance(value, Mapping):
        return {
            key: HIDDEN
            if str(key).lower() in secret
            else redacted(inner, secret, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [redacted(inner, secret, depth + 1) for inner in value]
    return value
