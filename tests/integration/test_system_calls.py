"""System calls that the kernel refuses: said by name, or done without."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import RESQUED, clean_environment
from tests.support.seccomp import NUMBERS, refuse

pytestmark = pytest.mark.skipif(
    platform.machine() not in NUMBERS, reason="the numbers of the calls are not known"
)

STOPPING = """
import signal, subprocess
from resqued.system import system_calls
from resqued.system.process_handle import ProcessHandle
print(*system_calls.refused())
child = subprocess.Popen(["sleep", "600"])
handle = ProcessHandle.open(child.pid)
print(handle.has_ended(0.0))
handle.send(signal.SIGTERM)
print(handle.has_ended(30.0))
try:
    handle.send(signal.SIGTERM)
except ProcessLookupError:
    print("gone")
child.wait()
print(ProcessHandle.open(child.pid))
"""


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("name", ["memfd_create", "signalfd"])
def test_a_master_says_which_call_is_refused(
    name: str, error: int, tmp_path: Path
) -> None:
    work = subprocess.run(
        [*RESQUED, "default", "-r", "redis://127.0.0.1:1"],
        env=clean_environment() | {"RUNTIME_DIRECTORY": str(tmp_path / "run")},
        preexec_fn=refuse(name, error),
        capture_output=True,
        cwd=tmp_path,
        text=True,
        check=False,
    )
    assert work.returncode == 78
    assert f"the kernel refuses {name}(2): " in work.stderr
    assert "Traceback" not in work.stderr


@pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
    reason="this user can make no mounts of its own",
)
def test_a_master_says_that_proc_is_not_mounted(tmp_path: Path) -> None:
    script = 'mount -t tmpfs none /proc && exec "$@"'
    said = refusal(tmp_path, "-m", "sh", "-c", script, "sh")
    assert said.endswith(": mount proc(5) at /proc\n")


@pytest.mark.skipif(
    subprocess.run(["unshare", "-p", "-f", "true"], check=False).returncode != 0,
    reason="this user can make no pid namespace",
)
def test_a_master_says_that_proc_shows_other_processes(tmp_path: Path) -> None:
    said = refusal(tmp_path, "-p", "-f")
    assert said.startswith(
        "resqued: /proc shows the processes of another pid namespace"
    )


def refusal(place: Path, *unshare: str) -> str:
    """Return what a master says that starts in other namespaces and is refused."""
    work = subprocess.run(
        ["unshare", *unshare, *RESQUED, "default", "-r", "redis://127.0.0.1:1"],
        env=clean_environment() | {"RUNTIME_DIRECTORY": str(place / "run")},
        capture_output=True,
        cwd=place,
        text=True,
        check=False,
    )
    assert work.returncode == 78
    return work.stderr


@pytest.mark.skipif(
    subprocess.run(["unshare", "-T", "-f", "true"], check=False).returncode != 0,
    reason="this user can make no time namespace",
)
def test_another_time_namespace_is_another_place() -> None:
    program = "from resqued.system import process; print(process.namespaces())"
    python = [sys.executable, "-c", program]
    outside = subprocess.check_output(python, text=True).strip()
    shifted = ["unshare", "-T", "-f", "--boottime", "5000", *python]
    inside = subprocess.check_output(shifted, text=True).strip()
    assert inside.startswith(f"{outside} time:[")


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
def test_a_process_is_stopped_without_a_pidfd(error: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPING],
        preexec_fn=refuse("pidfd_open", error),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:-1] == [
        "pidfd_open",
        "False",
        "True",
        "gone",
        "None",
    ]
