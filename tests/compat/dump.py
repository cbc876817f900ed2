"""The whole database as text, in the notation of the wire cases.

A dump maps each key to what it holds: `string 1`, `set {a | b}`, `list:` with one
line per element, `hash {field => value}`. What no two runs share is replaced:

    <me> <master> …  the ids that the test knows, without their queues
    <host>           this host, in front of a pid
    <F> <Z> <H> <S>  a time of the last minutes, in the form of `failed_at`,
                     `run_at`, a heartbeat, `…:started`; older ones stay
    <F-nozone>       a time of the last minutes in the form of `failed_at`, no zone
    <P>              a pid in an error message
    <BT>             a backtrace with at least one line
    <identity>       what tells one worker of resqued from another

Left out are keys that no other library reads: what resqued remembers of deaths
(tests/integration/test_quarantine.py), its history, the records of masters, the audit
and the tasks of its pages.
"""

from __future__ import annotations

import json
import re
import socket
import time
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis as redis_py

# Longer than a test takes on a slow machine, and shorter than the silence of 200 s that
# a case tells of.
RECENT = 150.0
# A TTL is told in steps, for it runs while the test does: on a slow machine for long.
TTL_STEP = 60

_F = re.compile(r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) (?P<zone>[A-Z+\-\d]+)")
_F_NOZONE = re.compile(r'\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?=")')
_Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_H = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
_S = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}")
_P = re.compile(r"(?<=\bpid )\d+")
_LEFT_OUT = re.compile(
    rb":resqued:(deaths:|followed$|hist:|masters?(:|$)|jobs$|audit$|web:)"
)
_BACKTRACE = '"backtrace":'
_IDENTITY = re.compile(
    r'\{"boot":"[\w-]+","pids":"[\w:\[\]-]+","pid":\d+,"start":\d+'
    r',"heartbeat":[\d.]+,"nonce":"[0-9a-f]{16}"\}'
)


def holds(text: str) -> dict[str, str]:
    """Return what a case says that Redis holds, as dump would return it."""
    found: dict[str, str] = {}
    lines = [line.strip() for line in text.strip().splitlines()]
    while lines:
        key, _, value = lines.pop(0).partition(" = ")
        elements = list(takewhile(lambda line: line.startswith("["), lines))
        del lines[: len(elements)]
        assert value
        assert key not in found
        found[key] = "\n".join([value, *elements])
    return found


def dump(client: redis_py.Redis, names: Mapping[str, str]) -> dict[str, str]:
    """Return all that the server holds; *names* maps worker names to placeholders."""
    assert set(client.info("keyspace")) <= {"db0"}, "another database is in use"
    return {
        _masked(_text(key), names): _masked(_value(client, key), names)
        for key in sorted(client.scan_iter(count=1000))
        if not _LEFT_OUT.search(key)
    }


def _value(client: redis_py.Redis, key: bytes) -> str:
    match client.type(key):
        case b"string":
            found = f"string {_text(client.get(key))}"
        case b"list":
            elements = enumerate(client.lrange(key, 0, -1))
            lines = [f"[{index}] {_text(element)}" for index, element in elements]
            found = "\n".join(["list:", *lines])
        case b"set":
            members = [_text(member) or '""' for member in client.smembers(key)]
            found = f"set {{{' | '.join(sorted(members))}}}"
        case b"hash":
            pairs = sorted(client.hgetall(key).items())
            shown = [f"{_text(field)} => {_text(value)}" for field, value in pairs]
            found = f"hash {{{' | '.join(shown)}}}"
        case b"zset":
            scores = client.zrange(key, 0, -1, withscores=True)
            shown = [f"{_text(member)}={score:.0f}" for member, score in scores]
            found = f"zset {{{' | '.join(shown)}}}"
        case other:
            raise AssertionError(f"{key!r} is a {other!r}, which Resque never writes")
    ttl = client.ttl(key)
    return (
        f"{found} (TTL about {-(-ttl // TTL_STEP) * TTL_STEP})" if ttl >= 0 else found
    )


def _text(raw: bytes) -> str:
    # Nothing that a terminal or an editor would swallow.
    text = raw.decode("utf-8", "backslashreplace")
    return re.sub("[\u2028\x7f]", lambda m: f"⟨U+{ord(m[0]):04X}⟩", text)


def _masked(text: str, names: Mapping[str, str]) -> str:
    for name, placeholder in names.items():
        text = re.sub(rf"\b{re.escape(name)}(?!\d)", placeholder, text)
    text = re.sub(rf"\b{re.escape(socket.gethostname())}(?=:\d)", "<host>", text)
    text = _IDENTITY.sub("<identity>", text)
    text = _without_backtraces(text)
    text = _P.sub("<P>", text)
    text = _F.sub(lambda m: "<F>" if _is_failed_at(m) else m[0], text)
    text = _F_NOZONE.sub(
        lambda m: (
            "<F-nozone>"
            if _is_recent(time.mktime(time.strptime(m[0], "%Y/%m/%d %H:%M:%S")))
            else m[0]
        ),
        text,
    )
    for pattern, placeholder in ((_Z, "<Z>"), (_H, "<H>"), (_S, "<S>")):
        text = pattern.sub(
            lambda m, p=placeholder: (
                p if _is_recent(datetime.fromisoformat(m[0]).timestamp()) else m[0]
            ),
            text,
        )
    return text


def _without_backtraces(text: str) -> str:
    """Put <BT> where a failure entry has a list of lines."""
    head, found, tail = text.partition(_BACKTRACE)
    if not found:
        return text
    lines, end = json.JSONDecoder().raw_decode(tail)
    is_backtrace = isinstance(lines, list) and all(isinstance(x, str) for x in lines)
    told = "<BT>" if lines and is_backtrace else tail[:end]
    return head + found + told + _without_backtraces(tail[end:])


def _is_failed_at(match: re.Match[str]) -> bool:
    """Say whether it is a time of now, in the zone that the processes have."""
    then = time.strptime(match["time"], "%Y/%m/%d %H:%M:%S")
    zone = time.strftime("%Z", time.localtime())
    return _is_recent(time.mktime((*then[:8], -1))) and match["zone"] == zone


def _is_recent(then: float) -> bool:
    return -2 <= time.time() - then <= RECENT
