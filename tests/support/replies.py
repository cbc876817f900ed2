"""What masters reply, for tests that have none."""

from __future__ import annotations

from resqued.control.protocol import StatusReply

# A master that is well, without workers: msgspec.structs.replace changes parts of it.
WELL = StatusReply(
    pid=7,
    state="running",
    is_paused=False,
    generation=1,
    is_reloading=False,
    last_reload=None,
    since=1.0,
    namespace="resque",
    modules=("app",),
    pools={"q": 1},
    workers=(),
)
