"""The examples of docs/web.md with curl work as they stand, on a real process."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from resqued.web.users import hash_token
from tests.support.daemon import ROOT, clean_environment
from tests.support.needs import missing
from tests.support.wait import scaled
from tests.support.web_server import WebServer

# Says nothing of its progress, and fails with a problem.
_CURL = 'curl() { command curl -sS --noproxy "*" --fail-with-body "$@"; }; '
_CONFIG = """
[web]
auth = "proxy"
trusted_proxies = ["127.0.0.1"]
[web.tokens]
ci = "operator:{}"
"""


def examples() -> list[str]:
    """Return the commands of the section on the API that use curl."""
    text = (ROOT / "docs" / "web.md").read_text("utf-8")
    section = text.partition("\n## The JSON API\n")[2].partition("\n## ")[0]
    return [
        line.removeprefix("$ ")
        for line in section.splitlines()
        if line.startswith("$ curl")
    ]


def fail_jobs(redis: redis_py.Redis) -> None:
    for number in range(3):
        entry = {
            "failed_at": "2026/01/02 03:04:05 UTC",
            "payload": {"class": "Mail", "args": [number]},
            "exception": "OSError",
            "error": f"no {number}",
            "backtrace": [],
            "worker": "web1:1:mail",
            "queue": "mail",
        }
        redis.rpush("resque:failed", json.dumps(entry, separators=(",", ":")))


def test_every_example_works(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        missing("curl is not in PATH")
    fail_jobs(redis)
    redis.sadd("resque:queues", "mail")
    with WebServer(redis_url, tmp_path, _CONFIG.format(hash_token("one"))) as server:
        known = {"API": f"{server.url}/api/v1", "AUTH": "Authorization: Bearer one"}

        def run(command: str) -> Any:
            done = subprocess.run(
                ["sh", "-c", _CURL + command],
                env={**clean_environment(), **known},
                capture_output=True,
                text=True,
                check=False,
                timeout=scaled(30),
            )
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            return json.loads(done.stdout)

        found = examples()
        assert len(found) > 10
        for command in found:
            answer = run(command)
            # Later examples need what earlier ones have shown.
            if answer.get("list"):
                known["ID"] = answer["failures"][-1]["id"]
            if "up_to" in answer:
                known["UP_TO"] = json.dumps(answer["up_to"])
            if "orders" in answer:
                known["TASK"] = answer["id"]
        assert "TASK" in known
        known["AUTH"] = "Authorization: Bearer two"
        with pytest.raises(AssertionError, match="the bearer token is none of"):
            run(found[0])
