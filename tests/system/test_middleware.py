"""The three middlewares of docs/jobs.md, as they stand there, in one application."""

from __future__ import annotations

import json
import re
from pathlib import Path

import redis as redis_py

import resqued
from tests.support.daemon import Daemon

ROOT = Path(__file__).parents[2]

JOBS = """
import json
import logging

import resqued

from myapp import database, timing, closing, tenants

class Fields(logging.Handler):
    def emit(self, record):
        fields = [record.getMessage(), record.queue, record.seconds >= 0]
        print(json.dumps(fields), file=open("seen", "a"))

logging.getLogger("myapp.jobs").addHandler(Fields())
logging.getLogger("myapp.jobs").setLevel("INFO")

@resqued.job(queue="low", name="Invoice")
def invoice(tenant):
    print(json.dumps(["tenant", tenants.tenant.get()]), file=open("seen", "a"))
    database.open = True
    if tenant == "bad":
        raise ValueError(tenant)
"""
DATABASE = """
open = False
def close():
    assert open
    print('["closed"]', file=__builtins__["open"]("seen", "a"))
"""


def test_the_middlewares_of_the_manual(
    redis: redis_py.Redis, redis_url: str, tmp_path: Path
) -> None:
    text = (ROOT / "docs" / "jobs.md").read_text("utf-8")
    section = text.partition("\n### Middleware\n")[2].partition("\n## ")[0]
    timing, closing, tenants = re.findall(
        r"^```python\n(.*?)^```", section, re.M | re.S
    )
    app = tmp_path / "myapp"
    app.mkdir()
    files = {"timing": timing, "closing": closing, "tenants": tenants, "jobs": JOBS}
    for name, code in (files | {"database": DATABASE, "__init__": ""}).items():
        (app / f"{name}.py").write_text(code)
    client = resqued.Client(redis_url)
    client.enqueue_to("low", "Invoice", "shop")
    client.enqueue_to("low", "Invoice", "bad")
    options = ("low", "-a", "myapp.jobs", "-r", redis_url, "-n", "1", "--burst")
    with Daemon(*options, cwd=tmp_path) as daemon:
        assert daemon.wait() == 0
    lines = (tmp_path / "seen").read_text().splitlines()
    rest = [["closed"], ["Invoice", "low", True]]
    seen = [json.loads(line) for line in lines]
    assert seen == [["tenant", "shop"], *rest, ["tenant", "bad"], *rest]
    (failure,) = client.failures.page(0, 10)
    assert failure.error == "bad"
    assert redis.get("resque:stat:processed") == b"2"
