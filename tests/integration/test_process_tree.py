"""The processes of a job, as its worker finds them; with real processes."""

from __future__ import annotations

import json
import subprocess
import sys

# Counts the files and folders that are opened to find the processes of a job: with no
# other process, with fifty that have nothing to do with it, and with ten of its own.
COUNTING = """
import ctypes, json, os, subprocess, sys, time
from resqued.system import prctl, process
from resqued.system.process_tree import JobProcesses

# Longer than the test, which kills what it has started; and not for ever, if it fails.
READY = "print(1, flush=True); import time; time.sleep(600)"

def start(script, number):
    words = [sys.executable, "-c", "import subprocess, sys\\n" + script]
    program = subprocess.Popen([*words, str(number)], stdout=subprocess.PIPE)
    program.stdout.readline()
    return program

def looks(job):
    opened = []
    job.refresh()
    recording.append(opened)
    job.refresh()
    recording.clear()
    return len(opened)

recording = []
sys.addaudithook(
    lambda event, _: event in ("open", "os.listdir")
    and [opened.append(event) for opened in recording]
)
prctl.become_subreaper()
FORK = "[subprocess.Popen(['sleep', '600']) for _ in range(int(sys.argv[1]))];" + READY
others, found = [], {}
job = start(READY, 0)
members = JobProcesses(
    job.pid, excluded=lambda: [o.pid for o in others], since=1 << 62, tracker_patience=3
)
found["alone"] = looks(members), len(members.members())
others.append(start(FORK, 50))
found["beside others"] = looks(members), len(members.members())
members.kill()
job.wait()
found["has members"] = members.has_members()
large = start(FORK, 10)
members = JobProcesses(
    large.pid,
    excluded=lambda: [o.pid for o in others],
    since=1 << 62,
    tracker_patience=3,
)
found["with ten"] = looks(members), len(members.members())
members.kill()
while members.has_members():
    process.reap()
others_of = JobProcesses(
    others[0].pid, excluded=tuple, since=1 << 62, tracker_patience=3
)
while others_of.has_members():
    others_of.kill()
    process.reap()
print(json.dumps(found))
"""


def test_what_it_takes_to_find_a_job_depends_on_its_own_processes_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNTING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    alone, members = found["alone"]
    assert members == 1
    assert found["beside others"] == [alone, 1]
    assert not found["has members"]
    with_ten, members = found["with ten"]
    assert members == 11
    assert with_ten <= 11 * alone
