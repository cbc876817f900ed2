"""Where failure entries go: the back ends of a configuration, and the address."""

from __future__ import annotations

import pytest

from resqued.wire.failure_place import BACKENDS, IN_FAILED, FailurePlace

ENTRY = b'{"error":"1:a"}'


@pytest.mark.parametrize(
    ("backends", "place", "addressed"),
    [
        ([], IN_FAILED, ENTRY),
        (["redis"], IN_FAILED, ENTRY),
        (["redis_multi_queue"], FailurePlace(True), b"11:mail_failed" + ENTRY),
        (["redis_multi_queue", "redis"], FailurePlace(True), b"11:mail_failed" + ENTRY),
        (
            ["sentry", "redis", "log", "sentry"],
            FailurePlace(False, ("sentry", "log")),
            b"6:failed6:sentry3:log" + ENTRY,
        ),
        (
            ["redis_multi_queue", "app.Mine"],
            FailurePlace(True, ("app.Mine",)),
            b"11:mail_failed8:app.Mine" + ENTRY,
        ),
        (
            BACKENDS,
            FailurePlace(True, ("sentry", "airbrake", "webhook", "log")),
            b"11:mail_failed6:sentry8:airbrake7:webhook3:log" + ENTRY,
        ),
    ],
)
def test_back_ends_are_an_address(
    backends: list[str], place: FailurePlace, addressed: bytes
) -> None:
    assert FailurePlace.of(backends) == place
    assert place.addressed(ENTRY, "mail") == addressed


@pytest.mark.parametrize(
    ("queue", "address"), [("é", b"9:\xc3\xa9_failed"), ("\udcff", b"8:\xff_failed")]
)
def test_lengths_of_an_address_are_bytes(queue: str, address: bytes) -> None:
    assert FailurePlace(is_per_queue=True).addressed(ENTRY, queue) == address + ENTRY
