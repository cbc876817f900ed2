r"""Names of instances of resqued@.service, which are queue lists: critical,high.

systemctl escapes the characters that the name of a unit cannot hold, a comma as \x2c
(systemd.unit(5)), and systemd passes the name in that form. This module undoes only
these escapes. systemd's unescaping would also turn `-` into `/`, so that the queues
`low-priority` and `low/priority` could not be distinguished.
"""

from __future__ import annotations

import re

# The name for all queues: systemctl reads `*` in a name as a pattern of units.
EVERY_QUEUE = "all"

_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")
# Characters that the name of a unit cannot hold (systemd.unit(5)). They are escaped
# here, because systemctl would turn a slash into `-`, which is another queue.
_FOREIGN = re.compile(rb"[^A-Za-z0-9:_.-]")


def unescape(name: str) -> str:
    r"""Return a name in which each \xNN is replaced by its byte, read as UTF-8."""
    raw = name.encode("utf-8", "surrogateescape")
    plain = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), raw)
    return plain.decode("utf-8", "replace")


def unit(name: str) -> str:
    """Return the unit of an instance; its name may be escaped already."""
    plain = unescape(name).encode()
    escaped = _FOREIGN.sub(lambda match: b"\\x%02x" % match[0][0], plain)
    return f"resqued@{escaped.decode()}.service"


def of_cgroup(text: str) -> str:
    """Return the instance that a text of /proc/<pid>/cgroup names; "" if it names none.

    The name is unescaped.
    """
    found = re.search(r"/resqued@([^/\n]+)\.service(?:/|$)", text, re.MULTILINE)
    return unescape(found[1]) if found else ""


def queue_list(name: str) -> str:
    """Return the queue list of an unescaped name; `all` means `*`."""
    return "*" if name == EVERY_QUEUE else name


def file_name(name: str) -> str:
    """Return the file name of the configuration for one instance.

    A slash becomes `_`: the name of a queue may have one, that of a file may not.
    """
    return f"{name.replace('/', '_')}.toml"
