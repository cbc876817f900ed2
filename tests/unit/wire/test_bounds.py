"""What others write into worker entries and records is read within bounds."""

from __future__ import annotations

import pytest

from resqued.errors import ArgumentError, PayloadError
from resqued.wire import arguments, worker_record
from resqued.wire.worker_entry import Identity, ping_age


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_not_json_are_no_times(number: str) -> None:
    identity = Identity("b", "p", pid=1, start=2, interval=60.0, nonce="n")
    text = identity.encode()
    assert Identity.decode(text) == identity
    changed = text.replace("60.0", number)
    assert changed != text
    assert Identity.decode(changed) is None
    assert ping_age(f'{{"time":{number}}}', 0.0) is None


def test_a_record_of_another_form_is_decoded_only_if_it_is_short() -> None:
    record = b'{"payload": {"class": "A", "args": ["%s"]}, "queue": "q", "run_at": ""}'
    assert worker_record.decode_held(record % b"x").queue == "q"
    with pytest.raises(PayloadError, match="is too long to read"):
        worker_record.decode_held(record % (b"x" * (1 << 20)))


def test_any_keyword_is_known_to_a_function_that_takes_all() -> None:
    def archive(repo_id: int, **options: object) -> None: ...

    with pytest.raises(ArgumentError, match="missing a required argument: 'repo_id'"):
        arguments.by_position("archive", archive, (), {"branch": "x"})
