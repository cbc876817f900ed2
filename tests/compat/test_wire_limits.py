"""What limits write, and what a job leaves behind."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import redis as redis_py

from resqued.system import process
from tests.compat.wire import Case, deviates

pytestmark = pytest.mark.server_semantics

OVER = b'{"class":"Hold","args":[1],"limits":{"runtime":0.2}}'


@pytest.fixture
def case(redis: redis_py.Redis, redis_url: str, tmp_path: Path) -> Case:
    return Case(redis, redis_url, tmp_path)


@deviates("limits", "limits-key")
def test_a_job_with_a_limit_of_its_own_is_ended_and_keeps_its_bytes(case: Case) -> None:
    case.push("default", OVER)
    case.work("default")
    (entry,) = case.redis.lrange("resque:failed", 0, -1)
    failure = json.loads(entry)
    assert OVER in entry
    assert failure["exception"] == "JobTimeout"
    assert failure["error"].startswith("runtime limit of 0.2s exceeded after ")
    # As in Ruby: what is retried is the job, and no further key.
    case.client.failures.retry(case.client.failures.page()[0])
    (again,) = case.redis.lrange("resque:queue:default", 0, -1)
    assert again == b'{"class":"Hold","args":[1]}'


@deviates("leftovers")
@pytest.mark.parametrize("policy", ["kill", "leave"])
def test_what_a_job_has_left_behind_is_killed_or_left(case: Case, policy: str) -> None:
    case.push("default", b'{"class":"LeaveBehind","args":[]}')
    with case.daemon(*case.configure(f'[worker]\nleftovers = "{policy}"\n')):
        case.wait_for("resque:stat:processed", b"1")
        pid = int((case.folder / "left").read_text())
        # One that was killed may still wait to be reaped: it has no command.
        is_left = bool(process.title(pid))
        if is_left:
            os.kill(pid, signal.SIGKILL)
    assert is_left is (policy == "leave")
    assert case.redis.get("resque:stat:failed") is None
