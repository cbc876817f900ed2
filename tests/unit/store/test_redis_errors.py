"""Errors of redis-py as those of this package: what each lets the caller do."""

from __future__ import annotations

import pytest
import redis
from redis import exceptions as of_redis

from resqued.errors import StoreError, UnusableServerError
from resqued.store.redis_errors import (
    CarriedError,
    is_not_primary,
    is_unsent,
    mark_unsent,
    translate,
)
from resqued.store.store_errors import DisconnectedError, NotPrimaryError, RefusedError

URL = "redis+sentinel://:secret@s1,s2/jobs/0?sentinel_password=secret"

ERRORS = [
    (of_redis.ReadOnlyError("You can't write"), NotPrimaryError, "READONLY You"),
    (of_redis.TryAgainError("Multiple keys"), NotPrimaryError, "TRYAGAIN Multiple"),
    (of_redis.ClusterDownError("Hash slot"), NotPrimaryError, "CLUSTERDOWN Hash"),
    (of_redis.MasterDownError("Link"), NotPrimaryError, "MASTERDOWN Link"),
    (of_redis.MovedError("5 h:7"), NotPrimaryError, "MOVED 5 h:7"),
    (redis.ResponseError("NOREPLICAS Not enough"), NotPrimaryError, "NOREPLICAS"),
    (
        redis.ResponseError("ERR Error running script: -READONLY You can't write"),
        NotPrimaryError,
        "-READONLY",
    ),
    (redis.ResponseError("ERR wrong type"), RefusedError, "ERR wrong type"),
    (of_redis.OutOfMemoryError("command not"), RefusedError, "OOM command not"),
    (of_redis.BusyLoadingError("is loading"), DisconnectedError, "LOADING is"),
    (redis.ConnectionError("closed"), DisconnectedError, "closed"),
    (
        redis.ConnectionError("Error 2 connecting. No such file or directory."),
        DisconnectedError,
        "a file that the URL names, such as ssl_ca_certs, is missing",
    ),
    (redis.TimeoutError("Timeout reading"), StoreError, "Timeout reading"),
    (redis.AuthenticationError("no"), StoreError, "refused the login: no"),
    (of_redis.ClusterCrossSlotError("x"), UnusableServerError, "-N '{resque}'"),
]


@pytest.mark.parametrize(("error", "kind", "said"), ERRORS, ids=lambda v: repr(v)[:30])
def test_each_error_has_its_kind_and_no_secret(
    error: Exception, kind: type[StoreError], said: str
) -> None:
    found = translate(error, URL, "resque")
    assert type(found) is kind
    assert said in str(found)
    assert "secret" not in str(found)
    assert "\n" not in str(found)


def test_only_a_server_that_executed_nothing_is_not_the_primary() -> None:
    kinds = {type(e) for e, kind, _ in ERRORS if is_not_primary(e)}
    assert of_redis.ReadOnlyError in kinds
    # A reply that was lost says nothing about what was executed.
    assert not kinds & {redis.ConnectionError, redis.TimeoutError}


def test_an_error_of_this_package_comes_through_unchanged() -> None:
    inner = StoreError("as it is")
    assert translate(CarriedError(inner), URL) is inner


def test_only_what_failed_while_connecting_was_not_sent() -> None:
    error = redis.ConnectionError("refused")
    assert not is_unsent(error)
    mark_unsent(error)
    assert is_unsent(error)


@pytest.mark.parametrize(
    ("namespace", "better"), [("resque", "{resque}"), ("a{b", "{ab}"), ("", "{resque}")]
)
def test_a_better_namespace_is_named(namespace: str, better: str) -> None:
    error = of_redis.ClusterCrossSlotError("x")
    text = str(translate(error, "redis://h", namespace))
    assert f"-N '{better}' or [redis] namespace = \"{better}\"" in text
