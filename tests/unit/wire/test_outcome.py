"""What is kept of the death of a child or of a worker."""

from __future__ import annotations

import json

import pytest

from resqued.wire.outcome import death_record
from resqued.wire.payload import FailureInfo


@pytest.mark.parametrize(("attempt", "known"), [(0, {}), (3, {"attempt": 3})])
def test_the_record_of_a_death(attempt: int, known: dict[str, int]) -> None:
    fault = FailureInfo("Resque::DirtyExit", 'killed by "SIGKILL"\n', ())
    raw = death_record(fault, worker="web1:1:low", now=0.0, attempt=attempt)
    assert raw.startswith(b'{"died_at":"1970-01-01T00:00:00Z"')
    assert json.loads(raw) == {
        "died_at": "1970-01-01T00:00:00Z",
        "worker": "web1:1:low",
        "exception": "Resque::DirtyExit",
        "error": 'killed by "SIGKILL"\n',
        **known,
    }
