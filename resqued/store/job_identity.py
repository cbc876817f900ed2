"""The name by which the attempts of a job are counted: that of resque-retry (8.2).

Jobs with equal class and arguments have the same name, and share their count. Used by
workers, which decode small payloads alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from resqued.wire import json_scan, payload

# A longer payload, in bytes, is not decoded: its own text is the name.
_MAX_DECODED = 64 << 10
_BLANKS = re.compile(r"\s")


def identity_of(raw: bytes) -> str:
    """Return what comes after `resque-retry:` in the key of a job's counter.

    Returns "" for what is no job.
    """
    if len(raw) > _MAX_DECODED:
        name = json_scan.class_name(raw)
        return f"{name}:{_digest(raw.strip())}" if name else ""
    try:
        job = payload.decode_job(raw)
    except ValueError:
        return ""
    return identify(job.class_name, job.args)


def identify(class_name: str, args: Sequence[Any]) -> str:
    """Return the name for a class and its arguments."""
    text = "-".join(_parts(args))
    digest = f":{_digest(text.encode('utf-8', 'surrogatepass'))}" if text else ""
    return _BLANKS.sub("", f"{class_name}{digest}")


def _digest(text: bytes) -> str:
    # No secret: it is what resque-retry uses.
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


def _parts(values: Sequence[Any]) -> list[str]:
    """Return the texts that Ruby's Array#join puts between its separators."""
    found: list[str] = []
    for value in values:
        if isinstance(value, list | tuple):
            found.append("-".join(_parts(value)))
        elif value is None:
            found.append("")
        else:
            found.append(value if isinstance(value, str) else _inspected(value))
    return found


def _inspected(value: Any) -> str:
    """Return a value as Ruby's `inspect` writes it."""
    if value is None:
        return "nil"
    if isinstance(value, dict):
        pairs = (f"{_inspected(k)}=>{_inspected(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inspected, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
