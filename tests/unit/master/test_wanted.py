"""Which pool a command means, and how many workers each is to have."""

from __future__ import annotations

import pytest

from resqued.core.pool_key import PoolKey, by_queues
from resqued.errors import ControlError
from resqued.master.wanted import WantedWorkers

MAIL, SHARED, OWN = (
    PoolKey("mail", "resque"),
    PoolKey("high,low", "resque"),
    PoolKey("mail", "{mail}"),
)


def wanted(*pools: PoolKey) -> WantedWorkers:
    found = WantedWorkers()
    found.follow(1, dict.fromkeys(pools, 2))
    return found


@pytest.mark.parametrize(
    ("pools", "queues", "namespace", "meant"),
    [
        ([MAIL], None, None, MAIL),
        ([MAIL], "mail", "resque", MAIL),
        ([MAIL, SHARED], "high,low", None, SHARED),
        ([MAIL, OWN], "mail", "{mail}", OWN),
        ([MAIL, OWN], None, "{mail}", OWN),
        ([SHARED, OWN], "mail", None, OWN),
    ],
)
def test_a_pool_is_named_by_what_only_it_has(
    pools: list[PoolKey], queues: str | None, namespace: str | None, meant: PoolKey
) -> None:
    assert wanted(*pools).pool_named(queues, namespace) == meant


@pytest.mark.parametrize(
    ("pools", "queues", "namespace", "error"),
    [
        (
            [MAIL, SHARED],
            None,
            None,
            "which pool? name its queues: there are 'mail' and 'high,low'",
        ),
        (
            [MAIL, OWN],
            "mail",
            None,
            (
                "which pool? name its namespace with -N:"
                " there are 'mail' in resque and 'mail' in {mail}"
            ),
        ),
        ([MAIL], "x", None, "there is no pool on 'x'; there is 'mail'"),
        (
            [MAIL, OWN],
            "mail",
            "shop",
            (
                "there is no pool on 'mail' in namespace shop;"
                " there is 'mail' in resque and 'mail' in {mail}"
            ),
        ),
        ([MAIL], None, "shop", "there is no pool in namespace shop; there is 'mail'"),
    ],
)
def test_a_pool_that_is_not_clear_is_refused_with_those_that_are(
    pools: list[PoolKey], queues: str | None, namespace: str | None, error: str
) -> None:
    with pytest.raises(ControlError) as caught:
        wanted(*pools).pool_named(queues, namespace)
    assert str(caught.value) == error


def test_a_number_set_by_command_is_of_one_namespace() -> None:
    found = wanted(MAIL, OWN)
    found.scale(OWN, 7)
    found.follow(2, {MAIL: 3, OWN: 3})
    assert found.counts == {MAIL: 3, OWN: 7}
    found.forget_scaling()
    found.follow(3, {OWN: 1, MAIL: 1})
    assert found.counts == {MAIL: 1, OWN: 1}


def test_by_queue_list_the_namespaces_are_added_up() -> None:
    assert by_queues({MAIL: 2, SHARED: 1, OWN: 3}) == {"mail": 5, "high,low": 1}
