"""Which keys a refused command was about, and what its user needs to run it."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from resqued.core.visible_text import visible

# The most characters of a key that are shown, and the most keys.
_LONGEST, _MOST_KEYS = 80, 5
_SCRIPTS = ("eval", "evalsha")
# Commands without a key, of several keys, and of two words, as rules have them.
_KEYLESS = ("ping", "time", "info", "scan", "role", "wait", "publish", "subscribe")
_MANY = ("mget", "exists", "del", "unlink", "sunion", "rename", "lmove")
_IN_TWO = ("script", "client", "cluster", "memory", "config", "acl")


def needed_rights(command: Sequence[object], url: str, namespace: str) -> str:
    """Return what was refused, and the order that allows it, as the end of a message.

    As in: ; SMEMBERS resque:queues needs `ACL SETUSER web ~resque:* +smembers`.
    """
    words = [_text(word) for word in command]
    name, keys = words[0].lower(), keys_of(words)
    user = urlsplit(url).username or "default"
    rule = f"+{name}"
    if name in _IN_TWO and len(words) > 1:
        rule = f"+{name}|{words[1].lower()}"
    rights = [f"~{namespace}:*"] * bool(keys and namespace) + [rule]
    return f"; {_shown(name, keys)} needs `ACL SETUSER {user} {' '.join(rights)}`"


def wrong_type(command: Sequence[object]) -> str:
    """Return which key holds a value of another type, as the end of a message."""
    words = [_text(word) for word in command]
    keys = keys_of(words)
    one = "this key" if len(keys) == 1 else "one of these keys"
    return f"; {_shown(words[0], keys)}: another program uses {one}"


def _shown(name: str, keys: Sequence[str]) -> str:
    return " ".join(
        [name.upper(), *keys[:_MOST_KEYS], *["…"] * (len(keys) > _MOST_KEYS)]
    )


def keys_of(words: Sequence[str]) -> list[str]:
    """Return the keys of a command, of which one was refused."""
    name = words[0].lower()
    if name in _SCRIPTS:
        return list(words[3 : 3 + int(words[2])])
    if name in (*_KEYLESS, "script") or len(words) == 1:
        return []
    if name in _MANY:
        return list(words[1:3] if name == "lmove" else words[1:])
    return list(words[2:3] if name in _IN_TWO else words[1:2])


def _text(word: object) -> str:
    text = word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")[:_LONGEST]
