"""The pid file against real files, real locks and real processes."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resqued.errors import AlreadyRunningError, ConfigError, ExitCode
from resqued.system import pidfile, process
from resqued.system.pidfile import PidFile
from resqued.system.process_handle import ProcessHandle
from tests.support.daemon import clean_environment

HOLD = """
import sys
from pathlib import Path
from resqued.errors import AlreadyRunningError
from resqued.system.pidfile import PidFile
from resqued.system.process_handle import ProcessHandle
sys.stdin.readline()
try:
    file = PidFile.take(Path(sys.argv[1]))
except AlreadyRunningError:
    print("refused", flush=True)
else:
    file.write()
    print("held", flush=True)
    sys.stdin.readline()
"""

WATCH = """
import sys
from pathlib import Path
from resqued.system import pidfile, process
while True:
    pidfile.holder(Path(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "resqued.pid"


def contender(path: Path) -> subprocess.Popen[str]:
    """Start a process that takes the file when told, and holds it until told."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def say(contender: subprocess.Popen[str]) -> None:
    assert contender.stdin is not None
    contender.stdin.write("go\n")
    contender.stdin.flush()


def answer(contender: subprocess.Popen[str]) -> str:
    assert contender.stdout is not None
    return contender.stdout.readline().strip()


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    with contender(path) as other:
        say(other)
        assert answer(other) == "held"
        try:
            yield other
        finally:
            other.kill()


def dead_pid() -> int:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    return ended.pid


def test_the_file_has_the_pid_and_only_its_owner_may_read_or_lock_it(
    path: Path,
) -> None:
    before = os.umask(0)
    try:
        file = PidFile.take(path)
        file.write()
    finally:
        os.umask(before)
    assert path.read_text() == f"{os.getpid()}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert pidfile.holder(path) == os.getpid()
    file.release()
    assert not path.exists()
    assert pidfile.holder(path) is None


@pytest.mark.parametrize("kind", ["dead", "foreign", "garbage", "empty", "long"])
def test_what_a_file_holds_that_nobody_locks_counts_for_nothing(
    kind: str, path: Path
) -> None:
    path.write_text(
        {
            "dead": f"{dead_pid()}\n",
            "foreign": f"{os.getppid()}\n",
            "garbage": "\0\xff no pid\n",
            "empty": "",
            "long": "9" * 10_000,
        }[kind]
    )
    assert pidfile.holder(path) is None
    file = PidFile.take(path)
    file.write()
    assert path.read_text() == f"{os.getpid()}\n"
    file.release()


def test_a_file_that_is_held_is_refused_and_says_by_whom(path: Path) -> None:
    with held_elsewhere(path) as other:
        assert pidfile.holder(path) == other.pid
        with pytest.raises(AlreadyRunningError) as error:
            PidFile.take(path)
        assert error.value.pid == other.pid
        assert error.value.exit_code == ExitCode.ALREADY_RUNNING
        for word in (str(other.pid), str(path)):
            assert word in str(error.value)
        assert path.read_text() == f"{other.pid}\n"


def test_who_holds_it_and_is_killed_holds_it_no_more(path: Path) -> None:
    with held_elsewhere(path) as other:
        other.kill()
        other.wait()
        assert path.exists()
        assert pidfile.holder(path) is None
        PidFile.take(path).release()


def test_of_many_who_want_it_at_once_one_gets_it(path: Path) -> None:
    others = [contender(path) for _ in range(6)]
    try:
        for other in others:
            say(other)
        assert sorted(map(answer, others)) == ["held", *["refused"] * 5]
    finally:
        for other in others:
            other.kill()
            other.communicate()


def test_looking_keeps_nobody_from_taking_it(path: Path) -> None:
    path.write_text("4711\n")
    watcher = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            *(WATCH, str(path)),
        ],
        env=clean_environment(),
    )
    try:
        for _ in range(300):
            file = PidFile.take(path)
            file.write()
            file.release()
    finally:
        watcher.kill()
        watcher.wait()


def test_what_was_started_meanwhile_does_not_hold_it(path: Path) -> None:
    file = PidFile.take(path)
    file.write()
    with subprocess.Popen(["sleep", "60"], close_fds=False) as started:
        file.release()
        again = PidFile.take(path)
        again.release()
        started.kill()


def test_a_file_that_somebody_has_put_in_its_place_is_left_there(path: Path) -> None:
    file = PidFile.take(path)
    file.write()
    path.unlink()
    path.write_text("somebody else's\n")
    file.release()
    assert path.read_text() == "somebody else's\n"


def test_a_process_that_was_forked_does_not_take_it_away(path: Path) -> None:
    file = PidFile.take(path)
    file.write()

    def child() -> int:
        file.release()
        return 0

    pid = process.fork_child(child)
    os.waitpid(pid, 0)
    assert pidfile.holder(path) == os.getpid()
    file.release()


@pytest.mark.parametrize("kind", ["link", "second name", "directory", "pipe"])
def test_what_is_no_plain_file_is_refused(
    kind: str, path: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    match kind:
        case "link":
            path.symlink_to(precious)
        case "second name":
            path.hardlink_to(precious)
        case "directory":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(ConfigError, match=str(path)):
        PidFile.take(path)
    assert precious.read_text() == "precious"


def test_a_place_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        PidFile.take(tmp_path / "nowhere" / "resqued.pid")
    assert pidfile.holder(tmp_path / "nowhere" / "resqued.pid") is None


def test_signals_of_a_process_that_has_gone_reach_nobody_else(path: Path) -> None:
    with held_elsewhere(path) as other:
        handle = ProcessHandle.open(other.pid)
        assert handle is not None
        assert not handle.has_ended(0)
        other.kill()
        assert handle.has_ended(30)
        other.wait()
        with pytest.raises(ProcessLookupError):
            handle.send(signal.SIGQUIT)
        handle.close()
    assert ProcessHandle.open(other.pid) is None


# Whose it is

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes another user: be root")


@contextmanager
def locked(path: Path, content: str, *, owner: int | None = None) -> Iterator[None]:
    """Lock a file with this content, as the master of its owner would."""
    path.write_text(content)
    path.chmod(0o644)
    if owner is not None:
        os.chown(path, owner, owner)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@as_root
def test_a_file_names_no_process_of_another_user_than_its_owner(path: Path) -> None:
    with (
        locked(path, f"{os.getpid()}\n", owner=NOBODY),
        pytest.raises(ConfigError, match="belongs to nobody and names process") as told,
    ):
        pidfile.holder(path)
    assert str(path) in str(told.value)


@as_root
def test_a_file_of_root_names_a_process_of_any_user(path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], user=NOBODY) as other:
        for owner in (0, NOBODY):
            with locked(path, f"{other.pid}\n", owner=owner):
                assert pidfile.holder(path) == other.pid
        other.kill()


def test_a_file_that_others_can_write_names_no_process(path: Path) -> None:
    with locked(path, f"{os.getpid()}\n"):
        path.chmod(0o646)
        with pytest.raises(ConfigError, match="can be written by others"):
            pidfile.holder(path)


@as_root
def test_a_file_of_another_user_is_not_taken(path: Path) -> None:
    path.write_text("")
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(ConfigError, match="belongs to nobody"):
        PidFile.take(path)


@pytest.mark.parametrize("text", ["-1", "0", "4194305", "9" * 30, "12x", " 12", "\xb2"])
def test_what_is_no_pid_names_no_process(text: str, path: Path) -> None:
    with locked(path, f"{text}\n"):
        assert pidfile.holder(path) == 0


def test_a_pipe_is_no_pid_file_and_keeps_nobody_waiting(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="not a regular file"):
        pidfile.holder(path)


def test_the_descriptor_with_the_lock_cannot_be_written_through(path: Path) -> None:
    file = PidFile.take(path)
    file.write()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(file.fileno(), b"1\n", 0)
    assert fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    file.release()


def test_a_stale_file_is_removed_and_one_that_is_held_is_not(path: Path) -> None:
    path.write_text("4711\n")
    pidfile.remove_stale(path)
    assert not path.exists()
    with held_elsewhere(path):
        pidfile.remove_stale(path)
        assert path.exists()


@as_root
def test_a_disk_that_takes_no_file_is_no_fault_of_the_configuration(
    tmp_path: Path,
) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("util-linux is not installed")
    steps = f'mount -t tmpfs -o ro none {tmp_path} && exec "$@"'
    done = subprocess.run(
        [
            *(
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                steps,
                "sh",
            ),
            *(sys.executable, "-m", "resqued", "work", "q", "-a", "json"),
            *("--pidfile", str(tmp_path / "x.pid")),
        ],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.CANNOT_CREATE, done.stderr
    assert done.stderr == (
        f"resqued: pid file {tmp_path}/x.pid cannot be written: Read-only file system\n"
    )
