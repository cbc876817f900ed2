"""The check whether a server accepts writes, by a write that changes nothing.

Reads do not show it: a replica answers them, and so does a server without free memory.
"""

from __future__ import annotations

from resqued.store.connection import Link
from resqued.store.store_errors import RefusedError, WritesRefusedError
from resqued.wire.keys import Keys

# A failover that is under way ends this, so a master waits; a wrong URL does not.
_OF_A_REPLICA = (
    "; jobs wait until this server is the primary, or until [redis] url names another"
)


def check_writes(link: Link, keys: Keys) -> None:
    """Raise StoreError unless the server answers and accepts writes.

    The write has the condition that a key exists, which never does; the server makes
    all its checks before. A user who may not write to this key may write to others, so
    that is no error.
    """
    try:
        link.call("SET", keys.write_check, "", "XX")
    except RefusedError as error:
        text = str(error)
        if "NOPERM" not in text and "no permissions" not in text:
            hint = _OF_A_REPLICA if "READONLY" in text else ""
            raise WritesRefusedError(text + hint) from error.__cause__
