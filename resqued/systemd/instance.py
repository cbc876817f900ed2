r"""What the name of an instance means: resqued@critical,high is a queue list.

systemd hands the name over as it stands in the unit's: systemctl has escaped what
unit names cannot hold, a comma as \x2c (systemd.unit(5)). Only that is undone.
systemd's own unescaping would turn `-` into `/` as well, so that `low-priority`
could not be told from `low/priority`.
"""

from __future__ import annotations

import re

# systemctl takes `*` in a unit's name for a pattern over units.
EVERY_QUEUE = "all"

_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")
# What the name of a unit holds as it is (systemd.unit(5)): what else there is,
# systemctl escapes. A slash it would make `-`, and somebody else's queue.
_FOREIGN = re.compile(rb"[^A-Za-z0-9:_.-]")


def unescape(name: str) -> str:
    r"""Return the name with each \xNN as the byte that it stands for."""
    raw = name.encode("utf-8", "surrogateescape")
    plain = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), raw)
    return plain.decode("utf-8", "replace")


def unit(name: str) -> str:
    r"""Return the unit of an instance, whether its name is escaped already or not."""
    plain = unescape(name).encode()
    escaped = _FOREIGN.sub(lambda found: b"\\x%02x" % found[0][0], plain)
    return f"resqued@{escaped.decode()}.service"


def queue_list(name: str) -> str:
    """Return the queue list that an unescaped name stands for."""
    return "*" if name == EVERY_QUEUE else name


def file_name(name: str) -> str:
    """Return the name of the instance's own configuration, beside the common one.

    A slash can stand in a queue's name, but not in a file's: there it is _.
    """
    return f"{name.replace('/', '_')}.toml"
