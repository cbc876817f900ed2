"""Records of masters as another host would write them."""

from __future__ import annotations

import msgspec
import redis as redis_py

from resqued.wire import master_record
from resqued.wire.keys import Keys

KEYS = Keys()


def write_master(redis: redis_py.Redis, host: str, **changes: object) -> None:
    """Write the record of a running master without pools on a host."""
    record = master_record.MasterRecord(
        id=f"{host}:9",
        host=host,
        pid=9,
        version="0.1.0",
        since=1,
        at=1,
        state="running",
        is_paused=False,
        generation=1,
        last_reload=None,
        pools=(),
        hidden_user="",
    )
    changed = msgspec.structs.replace(record, **changes)
    redis.sadd(KEYS.masters, record.id)
    redis.set(KEYS.master(record.id), master_record.encode(changed))
