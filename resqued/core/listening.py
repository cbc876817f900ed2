"""Which masters listen for new jobs, where many share one Redis.

A push must cost the same however many masters are idle. So the masters with an idle
worker of a queue list stand in a line, which is a list in Redis, and few of them
listen: only these read the lengths of the queues, and are sent a message at a change.

    AWAY     no worker of the queue list is idle
    WAITING  in the line; looks once an interval, and is sent no messages; takes a job
             that it sees twice, some milliseconds apart
    FIRST    listens, and wakes a worker as soon as a message arrives
    SPARE    listens, and looks a few milliseconds after a message: it takes the job
             if no FIRST did, because that master died or another program was faster
    ASKING   has woken workers, and learns whether one of them has taken a job

A master whose worker has taken a job calls the next in the line, which becomes FIRST.
One whose worker found nothing calls nobody, and becomes SPARE; a SPARE that finds
nothing often waits again. So each job that is taken makes one FIRST, and listeners
beyond it become fewer with each push. Once an interval each draws by lot whether it is
SPARE, so that about SPARES are, however many calls were lost.

No lost call delays a job by more than an interval: every master with an idle worker
looks at its queues at least that often, in every state. A master that is alone is
always FIRST, and calls nobody.

Times are seconds of any one clock. A `chance` is a random number in 0..1. A `share` is
the part of all workers in Redis that belong to this master; 1 for one that is alone.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from resqued.core.timings import NEVER

# How long a woken worker needs to take a job, in seconds. A look before that would
# wake another worker for the same job, and make the server report its removal.
WAKE_GRACE = 0.002
# After so many seconds a woken worker that has not reported counts as one with a job.
OUTCOME_LIMIT = 0.2
# How long a SPARE leaves a job to a FIRST, in seconds: at least this, at most twice. In
# that time the master of another host hears of the push, and its worker takes the job.
SPARE_DELAY = 0.008
# How many masters of all are SPARE, on average; and how many when all have connected
# at once, when no call has been made yet.
SPARES = 2.0
SPARES_AT_FIRST = 8.0
# A SPARE that found nothing after a message waits again with this probability: others
# were faster, so it is needed less than others think.
RESIGNS = 0.25
# The most masters that are called at once, by one that sees more jobs than it can
# take: the number of those that look doubles with each step.
MOST_CALLS = 2


class Role(Enum):
    """What a master does for new jobs of one queue list."""

    AWAY = "away"
    WAITING = "waiting"
    SPARE = "spare"
    FIRST = "first"
    ASKING = "asking"


LISTENERS = frozenset((Role.SPARE, Role.FIRST))


class Listening(Struct):
    """The role of one master for one queue list.

    `look_at` is when to look at the queues, or to ask for outcomes. `in_line` is
    whether Redis has this master in the line.
    """

    role: Role = Role.AWAY
    look_at: float = NEVER
    in_line: bool = False
    _draw_at: float = NEVER
    _asked_at: float = 0.0
    # Whether a SPARE was sent a message since its last look.
    _was_told: bool = False
    # Whether a WAITING takes a job that its next look finds, as others had their time.
    _is_late: bool = False
    _is_new: bool = True
    _is_unanswered: bool = True

    @property
    def listens(self) -> bool:
        """Whether the server is to report changes to this master."""
        return self.role in LISTENERS

    @property
    def joins_line(self) -> bool:
        """Whether this master has to go to the end of the line."""
        return not self.in_line and self.role in (Role.WAITING, Role.SPARE)

    def is_idle(self, now: float, interval: float, share: float, chance: float) -> None:
        """Note that a worker is idle."""
        if self.role is not Role.AWAY:
            return
        is_new, self._is_new = self._is_new, False
        self._draw_at = now + interval * (chance if is_new else _spread(chance))
        if share >= 1:
            self._listen(Role.FIRST, now)
        elif is_new and chance < share * SPARES_AT_FIRST:
            self._listen(Role.SPARE, now)
        else:
            self.role, self.look_at = Role.WAITING, self._draw_at

    def is_busy(self, share: float) -> int:
        """Note that no worker is idle; return how many masters to call."""
        before = self.role
        if before is Role.ASKING:
            return 0
        self.role, self.look_at = Role.AWAY, NEVER
        # One that is alone would ask Redis in vain, once a job.
        return int(before is Role.FIRST and share < 1)

    def joined(self, length: int, now: float) -> None:
        """Note that this master went to the end of the line, which is so long now."""
        self.in_line = True
        if length > 1:
            self._is_unanswered = False
        else:
            # Perhaps nobody listens. One that has just called nobody is sure of it.
            self._listen(Role.FIRST if self._is_unanswered else Role.SPARE, now)

    def called(self, now: float) -> bool:
        """Note a call; return False if it is for the next in the line."""
        self.in_line = False
        if self.role is Role.AWAY:
            return False
        if self.role is not Role.ASKING:
            self._listen(Role.FIRST, now)
        return True

    def answered(self, count: int, now: float, *, is_any_idle: bool) -> None:
        """Note how many masters a call reached."""
        self._is_unanswered = not count
        if not count and is_any_idle:
            self._listen(Role.FIRST, now)

    def heard(self, now: float, chance: float) -> bool:
        """Note a change of a queue; return whether to wake a worker for a push now."""
        if self.role is Role.SPARE:
            self.look_at = min(self.look_at, now + SPARE_DELAY * (1 + chance))
            self._was_told = True
        elif self.role is Role.FIRST:
            self.look_at = now
        return self.role is Role.FIRST

    def is_due(self, now: float, interval: float, share: float, chance: float) -> bool:
        """Return whether to look now; draw by lot, once an interval, who listens."""
        if now < self.look_at or self.role not in (*LISTENERS, Role.WAITING):
            return False
        if now >= self._draw_at:
            self._draw_at = now + interval * _spread(chance)
            if share >= 1:
                self.role = Role.FIRST
            elif self.role is not Role.FIRST:
                listens = chance < share * SPARES
                self.role = Role.SPARE if listens else Role.WAITING
        self.look_at = self._draw_at
        return True

    def saw_jobs(self, now: float, share: float, chance: float) -> bool:
        """Note that a look found jobs; return whether to wake workers for them.

        One of many that wait looks once more first: each push is on its queue for some
        milliseconds, and in a large fleet a look falls into most of these.
        """
        is_many = share * SPARES < 1
        leaves_it = self.role is Role.WAITING and is_many and not self._is_late
        self._is_late = leaves_it
        if leaves_it:
            self.look_at = now + SPARE_DELAY * (1 + chance)
        return not leaves_it

    def saw_nothing(self, now: float, share: float, chance: float) -> None:
        """Note that a look found no job."""
        self._is_late = False
        was_told, self._was_told = self._was_told, False
        is_many = share * SPARES < 1
        if self.role is Role.SPARE and was_told and is_many and chance < RESIGNS:
            self.role, self.look_at = Role.WAITING, max(self._draw_at, now)

    def look_soon(self, now: float) -> None:
        """Look at the next turn, because a worker became idle."""
        if self.role is not Role.ASKING:
            # It may have left jobs in queues that it does not know: no push is new.
            self.look_at, self._is_late = now, True

    def look_again(self, now: float, at: float) -> None:
        """Look at the time `at`, because the last look has not seen everything."""
        if self.role is Role.SPARE:
            at = max(at, now + SPARE_DELAY)
        self.look_at = min(self.look_at, at)

    def woke(self, now: float, excess: int, share: float) -> int:
        """Note that workers were woken; return how many masters to call at once.

        `excess` is for how many jobs there was no idle worker.
        """
        if share >= 1:
            # After a look the next one is at the interval; after a message it is soon.
            self.look_at = max(self.look_at, now + WAKE_GRACE)
            return 0
        if excess > 0:
            self.role, self.look_at = Role.AWAY, NEVER
            return min(excess, MOST_CALLS)
        self.role, self._asked_at = Role.ASKING, now
        self.look_at = now + WAKE_GRACE
        return 0

    def learned(self, now: float, *, taken: bool, is_settled: bool) -> int:
        """Note whether a woken worker has taken a job; return how many to call.

        `is_settled` is whether each worker has reported.
        """
        if not taken and not is_settled and now < self._asked_at + OUTCOME_LIMIT:
            self.look_at = now + WAKE_GRACE
            return 0
        if taken or not is_settled:
            self.role, self.look_at = Role.AWAY, NEVER
            return 1
        self._listen(Role.SPARE, now)
        return 0

    def leave(self) -> int:
        """Note the end of this master; return how many to call."""
        listened = self.role in (Role.FIRST, Role.ASKING)
        self.role, self.look_at = Role.AWAY, NEVER
        return int(listened)

    def _listen(self, role: Role, now: float) -> None:
        self.role, self.look_at, self._was_told = role, now, False


def _spread(chance: float) -> float:
    return 0.9 + chance / 5
