"""Which lines of a traceback are the application's."""

from __future__ import annotations

import pytest

from resqued.core.traceback_runs import traceback_runs

PYTHON = """\
Traceback (most recent call last):
  File "/app/jobs.py", line 3, in perform
    post(url)
    ~~~~^^^^^
  File "/venv/lib/python3.11/site-packages/requests/api.py", line 9, in post
    return request("post")
  File "<frozen importlib._bootstrap>", line 1, in find
requests.ConnectionError: no route"""
RUBY = [
    "/app/lib/mail.rb:12:in `perform'",
    "/usr/lib/ruby/gems/3.1/gems/resque-3.0/lib/resque/job.rb:177:in `perform'",
    "/usr/lib/ruby/3.1/timeout.rb:9:in `timeout'",
]
NODE = [
    "Error: no route",
    "    at Mail.perform (/app/mail.js:3:7)",
    "    at Worker.run (/app/node_modules/node-resque/dist/core/worker.js:1:2)",
    "    at node:internal/process/task_queues:95:5",
]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (PYTHON.splitlines(), [(False, 4, 1), (True, 3, 2), (False, 1, 0)]),
        (RUBY, [(False, 1, 1), (True, 2, 2)]),
        (NODE, [(False, 2, 1), (True, 2, 2)]),
        (["frame one", "frame two"], [(False, 2, 0)]),
        ([], []),
    ],
)
def test_libraries_are_told_from_the_application(
    lines: list[str], expected: list[tuple[bool, int, int]]
) -> None:
    runs = traceback_runs(lines)
    assert [(run.is_library, len(run.lines), run.frames) for run in runs] == expected
    assert [line for run in runs for line in run.lines] == lines
