"""Roles and capabilities of the users of the web front end.

A route declares the capability that it needs; a role has a set of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

VIEW, VIEW_ARGS = "view", "view_args"
RETRY, REMOVE, QUEUE, JOB = "retry", "remove", "queue", "job"
CONTROL, ADMIN, METRICS = "control", "admin", "metrics"

CAPABILITIES: Mapping[str, str] = {
    VIEW: "look at pages",
    VIEW_ARGS: "see the arguments of jobs",
    METRICS: "read the metrics",
    RETRY: "retry failed jobs",
    REMOVE: "remove failures",
    QUEUE: "pause, resume, move and remove queues",
    JOB: "enqueue and remove jobs",
    CONTROL: "kill jobs, and scale, pause and reload masters",
    ADMIN: "clear lists, browse keys, and act on the tasks of others",
}
# The roles, each with all that the one before it has.
VIEWER, OPERATOR, ADMINISTRATOR = "viewer", "operator", "admin"
ROLES = (VIEWER, OPERATOR, ADMINISTRATOR)
_OWN: Mapping[str, frozenset[str]] = {
    VIEWER: frozenset({VIEW, METRICS}),
    OPERATOR: frozenset({RETRY, REMOVE, QUEUE, JOB}),
    ADMINISTRATOR: frozenset({CONTROL, ADMIN}),
}
READING = frozenset({VIEW, VIEW_ARGS, METRICS})


def capabilities(
    role: str, *, show_args: str = OPERATOR, read_only: bool = False
) -> frozenset[str]:
    """Return what a role may do; an unknown role may do nothing.

    `show_args` is the least role that sees the arguments of jobs. With `read_only`,
    nobody may change anything.
    """
    if role not in ROLES:
        return frozenset()
    rank = ROLES.index(role)
    found = frozenset[str]().union(*(_OWN[each] for each in ROLES[: rank + 1]))
    if show_args in ROLES and rank >= ROLES.index(show_args):
        found |= {VIEW_ARGS}
    return found & READING if read_only else found


def highest_role(
    groups: Iterable[str], members: Mapping[str, Collection[str]]
) -> str | None:
    """Return the highest role that one of the groups has; None if none has one.

    `members` has the groups of each role; the group `*` means everybody.
    """
    present = {*groups, "*"}
    for role in reversed(ROLES):
        if present & set(members.get(role, ())):
            return role
    return None
