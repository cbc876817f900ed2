"""What the roles of the web front end may do."""

from __future__ import annotations

import pytest

from resqued.core.roles import (
    ADMIN,
    CAPABILITIES,
    CONTROL,
    JOB,
    METRICS,
    QUEUE,
    REMOVE,
    RETRY,
    VIEW,
    VIEW_ARGS,
    capabilities,
    highest_role,
)

VIEWING = {VIEW, METRICS}
MENDING = {RETRY, REMOVE, QUEUE, JOB}


@pytest.mark.parametrize(
    ("role", "show_args", "expected"),
    [
        ("viewer", "operator", VIEWING),
        ("viewer", "viewer", VIEWING | {VIEW_ARGS}),
        ("operator", "operator", VIEWING | MENDING | {VIEW_ARGS}),
        ("operator", "admin", VIEWING | MENDING),
        ("admin", "admin", set(CAPABILITIES)),
        ("admin", "nobody", set(CAPABILITIES) - {VIEW_ARGS}),
        ("boss", "viewer", set()),
        ("", "viewer", set()),
    ],
)
def test_each_role_has_what_the_one_before_it_has(
    role: str, show_args: str, expected: set[str]
) -> None:
    assert capabilities(role, show_args=show_args) == expected


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_read_only_leaves_looking_alone(role: str) -> None:
    found = capabilities(role, show_args="viewer", read_only=True)
    assert found == VIEWING | {VIEW_ARGS}
    assert not found & {*MENDING, CONTROL, ADMIN}


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["ops"], "admin"),
        (["dev"], "operator"),
        (["dev", "ops"], "admin"),
        (["other"], "viewer"),
        ([], "viewer"),
    ],
)
def test_the_highest_role_of_all_groups_counts(
    groups: list[str], expected: str
) -> None:
    members = {"admin": ["ops"], "operator": ["dev"], "viewer": ["*"]}
    assert highest_role(groups, members) == expected


def test_a_group_without_a_role_has_none() -> None:
    assert highest_role(["dev"], {"admin": ["ops"]}) is None
