"""The suite in lanes: tests beside each other, those that must be alone, browsers.

    python -m tests.support.lanes --beside 'make unit-all' [--again] [--systemd]
        [--last-line FILE]

The parallel lane keeps every core busy: most tests wait for something most of the
time. The unit tests run beside it, with every Python there is, by a command of make,
and with `--systemd` the tests of the units, in a container. `--again`, which CI gives,
runs once more and alone what failed there and in the browser: what passes then failed
for want of a machine to itself; it is listed, and is no failure of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.report import REPORTS

ROOT = Path(__file__).parents[2]
PYTEST = (sys.executable, "-m", "pytest", "-q")
COMPILE = (sys.executable, "-m", "compileall", "-q")
COMPILED = ("resqued", "bench", "tests")
PATHS = ("tests/integration", "tests/system", "tests/compat", "tests/web")
# Tests wait more than they work: so many for each core.
FOR_EACH_CORE = 3
# The lanes whose failures are looked at again. If more fail than that, it is not for
# want of a machine.
LOADED = ("parallel", "systemd", "browser")
MOST_AGAIN = 20
# Of pytest: all passed, some failed. Any other code means that it did not get so far.
PASSED, FAILED = 0, 1
# What make writes when a command of it has failed.
MAKES = re.compile(r"make(\[\d+\])?: ")


@dataclass(frozen=True, slots=True)
class Lane:
    """What came of a lane; `told` is the last line that a failed command printed."""

    name: str
    code: int
    seconds: float
    passed: int
    skipped: int
    failed: tuple[str, ...]
    told: str = ""

    @property
    def reason(self) -> str:
        """Why the lane has failed, in a few words."""
        if not self.failed:
            ending = f"no test, but exit code {self.code}"
            return f"{ending}: {self.told}" if self.told else ending
        first, *others = self.failed
        return f"{first}, and {len(others)} more" if others else first

    def __str__(self) -> str:
        text = f"{self.name}: {self.passed} passed, {len(self.failed)} failed"
        text += f", {self.skipped} skipped in {self.seconds:.0f} s"
        if self.code not in (PASSED, FAILED):
            text += f"; it ended with exit code {self.code}"
        return text


def to_run_again(lanes: Sequence[Lane]) -> tuple[str, ...]:
    """Return the failures that are to be looked at again; none if they are too many."""
    loaded = [lane for lane in lanes if lane.name in LOADED]
    if any(lane.code not in (PASSED, FAILED) for lane in loaded):
        return ()
    failed = tuple(name for lane in loaded for name in lane.failed)
    return failed if len(failed) <= MOST_AGAIN else ()


def summary(lanes: Sequence[Lane], again: Lane | None = None) -> tuple[str, bool]:
    """Return the last lines to print, and whether the suite has passed.

    The very last one says which lanes have failed, and why. `again` holds what became
    of the failures of the loaded lanes.
    """
    lines = [str(lane) for lane in (*lanes, *([again] if again else []))]
    ends = list(lanes)
    if again and again.code in (PASSED, FAILED):
        ends = [_after(lane, again) for lane in lanes]
    failed = {name for lane in ends for name in lane.failed}
    flaky = sorted({name for lane in lanes for name in lane.failed} - failed)
    lines += [
        f"flaky: {name}: failed beside others, and passed alone" for name in flaky
    ]
    lines += [f"failed: {name}" for name in sorted(failed)]
    passed = sum(lane.passed for lane in lanes) + len(flaky)
    last = f"{passed} passed, {len(failed)} failed, {len(flaky)} flaky"
    reasons = [f"{lane.name} failed ({lane.reason})" for lane in ends if lane.code]
    lines.append("; ".join([last, *reasons]))
    return "\n".join(lines), not reasons


def _after(lane: Lane, again: Lane) -> Lane:
    """Return a lane with what is left of its failures."""
    if lane.name not in LOADED or not lane.failed:
        return lane
    left = tuple(name for name in lane.failed if name in again.failed)
    return replace(lane, code=FAILED if left else PASSED, failed=left)


class Lanes:
    """Runs lanes in a directory; `options` are those of every pytest."""

    def __init__(self, root: Path, reports: Path, options: Sequence[str]) -> None:
        self.root = root
        self.reports = reports
        self._options = options

    def pytest(self, name: str, *args: str) -> Lane:
        """Run one lane, and wait for its end."""
        began = time.monotonic()
        print(f"\n-- {name} --", flush=True)
        done = subprocess.run(
            self.command(*args),
            cwd=self.root,
            env=self.environment(name),
            check=False,
        )
        return self.result(name, done.returncode, began)

    def rewrite(self, *paths: str) -> None:
        """Have pytest rewrite the assertions of tests once, for all its workers.

        What is wrong with the tests is said by the lane that runs them.
        """
        subprocess.run(
            self.command("--collect-only", *paths),
            cwd=self.root,
            env=self.environment("rewrite"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )

    def command(self, *args: str) -> tuple[str, ...]:
        """Return the command of a pytest."""
        return (*PYTEST, *self._options, *args)

    def environment(self, name: str) -> Mapping[str, str]:
        """Return the environment of what is to report for a lane."""
        place = self.reports / name
        place.mkdir(parents=True, exist_ok=True)
        found = {**os.environ, REPORTS: str(place)}
        # What pytest makes of the test files is kept for the next process.
        found.pop("PYTHONDONTWRITEBYTECODE", None)
        return found

    def result(self, name: str, code: int, began: float, told: str = "") -> Lane:
        """Return what came of a lane that has ended."""
        found = [json.loads(f.read_text()) for f in (self.reports / name).iterdir()]
        return Lane(
            name,
            code,
            time.monotonic() - began,
            sum(each["passed"] for each in found),
            sum(each["skipped"] for each in found),
            tuple(dict.fromkeys(name for each in found for name in each["failed"])),
            told,
        )


class Beside:
    """A lane that runs beside another, by a command; its output is kept for later."""

    def __init__(self, lanes: Lanes, name: str, command: Sequence[str]) -> None:
        self._lanes = lanes
        self._name = name
        self._began = time.monotonic()
        environment = lanes.environment(name)
        self._output = lanes.reports / f"{name}.log"
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=lanes.root,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def result(self) -> Lane:
        """Wait for its end; print what it has said."""
        code = self._process.wait()
        output = self._output.read_text("utf-8", "replace")
        print(f"\n-- {self._name} --", output, sep="\n")
        return self._lanes.result(self._name, code, self._began, last_line(output))


def last_line(output: str) -> str:
    """Return the last line of a command, without what make says of its end."""
    lines = [line.strip() for line in output.splitlines() if not MAKES.match(line)]
    return next(filter(None, reversed(lines)), "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the lanes that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="tests.support.lanes")
    parser.add_argument("--beside", type=shlex.split, default=())
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--systemd", action="store_true")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--last-line", type=Path, help="a file for the last line")
    asked = parser.parse_args(argv)
    if shutil.which("redis-server") is None:
        print("no redis-server here: tested with the embedded Valkey only")
    # Hundreds of processes import the package; none of them compiles it.
    subprocess.run([*COMPILE, *COMPILED], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="resqued-lanes-") as place:
        lanes = Lanes(ROOT, Path(place), ["--server=both"])
        lanes.rewrite(*PATHS)
        return run(
            lanes,
            beside=asked.beside,
            paths=PATHS,
            workers=asked.workers or FOR_EACH_CORE * (os.cpu_count() or 1),
            browser=("tests/browser",),
            again=asked.again,
            container=("tests/systemd",) if asked.systemd else (),
            report=asked.last_line,
        )


def run(
    lanes: Lanes,
    *,
    paths: Sequence[str],
    workers: int,
    beside: Sequence[str] = (),
    browser: Sequence[str] = (),
    again: bool = False,
    container: Sequence[str] = (),
    report: Path | None = None,
) -> int:
    """Run every lane, and print what came of them; return the exit code.

    `report` is a file for the last line.
    """
    others = [Beside(lanes, "unit", beside)] if beside else []
    if container:
        # It waits for systemd most of the time. With -n its deadlines are long as well.
        others.append(Beside(lanes, "systemd", lanes.command("-n", "1", *container)))
    together = ("-n", str(workers), "--dist=worksteal", "-m", "not alone")
    done = [lanes.pytest("parallel", *together, *paths)]
    done += [each.result() for each in others]
    done.append(lanes.pytest("alone", "-m", "alone", *paths))
    if browser:
        # One more than there are cores: a page is waited for now and then.
        count = str((os.cpu_count() or 1) + 1)
        done.append(lanes.pytest("browser", "-n", count, *browser))
    second = None
    if again and (failed := to_run_again(done)):
        second = lanes.pytest("again", *failed)
    text, is_well = summary(done, second)
    print(f"\n{text}", flush=True)
    if report is not None:
        report.write_text(f"{last_line(text)}\n")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
