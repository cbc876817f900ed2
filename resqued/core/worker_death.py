"""What becomes of a job whose worker has died: it fails, or is put back.

Plain values, which the zygote reports to the master: the master has no application.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

ACTIONS = ("fail", "retry", "requeue")
# How many attempts follow if nothing says it.
TIMES = 3
# How many deaths in a row set a job aside, if nothing says it: more than there are
# attempts by default. And the most.
QUARANTINE_AFTER = 5
MOST_DEATHS = 100


class DeathRule(Struct, frozen=True):
    """What happens to a job after the death of its worker; None: not said here.

    `action` is one of ACTIONS: "retry" has the job wait for `delay` seconds, "requeue"
    puts it at the head of its queue. After `times` further attempts it fails. It is set
    aside when it has killed its child or its worker `quarantine_after` times in a row;
    0: never.
    """

    action: str | None = None
    times: int | None = None
    delay: float | None = None
    quarantine_after: int | None = None

    def with_fallback(self, wider: DeathRule | None) -> DeathRule:
        """Return this rule, with the values of `wider` in place of None."""
        if wider is None:
            return self
        return DeathRule(
            wider.action if self.action is None else self.action,
            wider.times if self.times is None else self.times,
            wider.delay if self.delay is None else self.delay,
            wider.quarantine_after
            if self.quarantine_after is None
            else self.quarantine_after,
        )

    @property
    def puts_back(self) -> bool:
        """Whether the job is put back at all."""
        return self.action in ("retry", "requeue")


FAIL = DeathRule("fail", TIMES, 10.0, QUARANTINE_AFTER)


class DeathRules(Struct, frozen=True):
    """The rules of a configuration, and those that the application declares.

    With `records_all` each attempt that fails goes to the failed list.
    """

    default: DeathRule = FAIL
    queues: Mapping[str, DeathRule] = field(default_factory=dict)
    classes: Mapping[str, DeathRule] = field(default_factory=dict)
    declared: Mapping[str, DeathRule] = field(default_factory=dict)
    records_all: bool = False

    def of(self, queue: str, class_name: str) -> DeathRule:
        """Return the rule of a job; each value is that of the most specific place.

        The order is: the configuration of the class, the code, the configuration of
        the queue, the default.
        """
        rule = self.classes.get(class_name, DeathRule())
        rule = rule.with_fallback(self.declared.get(class_name))
        rule = rule.with_fallback(self.queues.get(queue))
        return rule.with_fallback(self.default)

    def with_declared(self, declared: Mapping[str, DeathRule]) -> DeathRules:
        """Return the same rules, with what the application declares."""
        return replace(self, declared=declared)

    def __bool__(self) -> bool:
        """Return True if any job may be put back."""
        places = (self.queues, self.classes, self.declared)
        rules = [rule for place in places for rule in place.values()]
        return any(rule.puts_back for rule in (self.default, *rules))
