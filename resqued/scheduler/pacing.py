"""When a master looks at the delayed jobs again; pure."""

from __future__ import annotations

from resqued.core.timings import NEVER
from resqued.store.due_jobs import Move

# Between two looks because of a nearer job: ten producers must not cost ten looks.
LEAST_WAIT = 0.1


def wait_after(move: Move, *, lease: float, poll: float, is_tracking: bool) -> float:
    """Return after how many seconds to look again if the server reports nothing.

    `lease` is how many seconds an election lasts; `poll` the interval where nothing is
    reported: on a server without tracking, and beside resque-scheduler.
    """
    if move.is_partial:
        return 0.0
    if move.state == "foreign":
        return poll
    if move.state == "standby":
        return move.holds
    if move.next is None:
        return NEVER if is_tracking else poll
    until_due = max(0.0, move.next - move.now)
    # Half of the lease, so that it does not end while the master is there.
    return until_due if move.state == "idle" else min(until_due, lease / 2)
