"""The last step of `make coverage`: what the unit tests miss fails it, by name.

    python -m tests.support.coverage_gate

The files and lines are reported to the lanes as a failure is, so that the last line of
the suite has them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.report import leave

# A row of the report: the file, and the lines and branches that were not taken.
ROW = re.compile(r"(\S+\.py) .*%  +(\S.*)")
REPORT = (sys.executable, "-m", "coverage", "report")


def shortfall(report: str) -> str:
    """Return what is missing, in one line; the last line if no file is named."""
    rows = [
        found.groups() for line in report.splitlines() if (found := ROW.match(line))
    ]
    if not rows:
        return f"coverage: {(report.strip().splitlines() or ['no report'])[-1]}"
    rooms = " and ".join(dict.fromkeys(Path(file).parent.name for file, _ in rows))
    places = "; ".join(f"{file} {lines}" for file, lines in rows)
    return f"coverage of {rooms} is below 100 %: {places}"


def main() -> int:
    """Print the report; return its exit code."""
    done = subprocess.run(
        REPORT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    print(done.stdout, end="")
    if done.returncode:
        problem = shortfall(done.stdout)
        print(problem)
        leave(failed=[problem])
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
