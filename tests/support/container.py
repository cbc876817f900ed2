"""A host of its own for a test: this one's files, another systemd, no network.

systemd-nspawn boots what this machine has as its root, through an overlay in memory:
nothing that happens in there is left, nor to be seen here. The overlay is mounted in
a namespace of the container's, and goes with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from tests.support.wait import scaled, wait_until

PROGRAMS = ("systemd-nspawn", "nsenter", "unshare", "setpriv")
# What runs in there, beside the tests' own: no logins, timers or daemons of this host.
TARGET = "resqued-test.target"
_TARGET = """[Unit]
Requires=basic.target dbus.socket
After=basic.target
AllowIsolate=yes
"""
# In a mount namespace of its own. Without a systemd that gives it one, the container
# gets a control group by hand, or two containers would share one.
_BOOT = r"""
set -eu
if [ ! -d /run/systemd/system ]; then
  for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    [ -e "$tree/cgroup.procs" ] || continue
    mkdir -p "$tree/$NAME"
    echo $$ > "$tree/$NAME/cgroup.procs"
  done
  set -- --keep-unit "$@"
fi
mount -t tmpfs -o mode=0755 tmpfs "$PLACE"
mkdir "$PLACE/upper" "$PLACE/work" "$PLACE/root"
cp -a "$SEED/." "$PLACE/upper/"
options="lowerdir=/,upperdir=$PLACE/upper,workdir=$PLACE/work"
mount -t overlay -o "$options" overlay "$PLACE/root"
exec systemd-nspawn --directory="$PLACE/root" "$@"
"""
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_COLORS": "0",
}


def lacking() -> str:
    """Say what keeps containers from being started here; nothing if all is there."""
    if os.geteuid() != 0:
        return "starting a container needs root"
    programs = [name for name in PROGRAMS if shutil.which(name) is None]
    if programs:
        return f"not in PATH: {', '.join(programs)} (package systemd-container)"
    if "\toverlay\n" not in Path("/proc/filesystems").read_text("ascii"):
        return "the kernel has no overlay file system"
    tried = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return tried.stderr.strip()  # root of a container may not mount


class Container:
    """Enter it to boot it. `binds` are directories of this host, by where they go."""

    def __init__(self, place: Path, binds: dict[str, Path]) -> None:
        self._place = place
        self._binds = binds
        self._name = f"resqued-test-{os.getpid()}"
        self._log = place / "console.log"
        self._leader = 0

    def __enter__(self) -> Self:
        seed, root = self._place / "seed", self._place / "root"
        units = seed / "etc/systemd/system"
        units.mkdir(parents=True)
        root.mkdir()
        (units / TARGET).write_text(_TARGET)
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                # Whatever ends the tests ends the container.
                ["setpriv", "--pdeathsig", "TERM", *self._command()],
                env={
                    **os.environ,
                    "NAME": self._name,
                    "SEED": str(seed),
                    "PLACE": str(root),
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_until_booted()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _command(self) -> list[str]:
        return [
            *("unshare", "--mount", "--propagation", "private"),
            *("sh", "-c", _BOOT, "boot"),
            *("--boot", "--quiet", "--register=no", "--private-network"),
            *("--link-journal=no", "--console=pipe", "--kill-signal=SIGKILL"),
            # To give a service an OOMScoreAdjust= below nothing.
            "--capability=CAP_SYS_RESOURCE",
            f"--machine={self._name}",
            *(f"--bind={path}:{inside}" for inside, path in self._binds.items()),
            "--",
            f"systemd.unit={TARGET}",
        ]

    def _wait_until_booted(self) -> None:
        self._leader = wait_until(
            self._find_leader, deadline=60, what="the container to begin"
        )
        wait_until(
            lambda: self._state() == "active",
            deadline=120,
            what=f"{TARGET}; the console has {self._console()}",
        )

    def _find_leader(self) -> int | None:
        assert self._nspawn.poll() is None, self._console()
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._nspawn.pid).children():
                if child.name() == "systemd":
                    return child.pid
        return None

    def _console(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def _state(self) -> str:
        return self.run("systemctl", "is-active", TARGET, check=False).stdout.strip()

    def __exit__(self, *_: object) -> None:
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._nspawn.pid).children():
                process.kill()
        try:
            self._nspawn.wait(scaled(30))
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        for tree in ("", "systemd", "unified"):
            _remove_group(Path("/sys/fs/cgroup", tree, self._name))

    def run(
        self, *argv: str, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in there, as root; `text` is its standard input."""
        done = subprocess.run(
            ["nsenter", f"--target={self._leader}", "--all", "--", *argv],
            env=_ENVIRONMENT,
            input=text if text is not None else "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=scaled(120),
            check=False,
        )
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"{' '.join(argv)}: {done.returncode}: {said}")
        return done

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file in there; the directory is made."""
        script = 'mkdir -p "$(dirname "$1")"; cat > "$1"; chmod "$2" "$1"'
        self.run("sh", "-ec", script, "write", path, mode, text=text)

    def read(self, path: str) -> str:
        """Return what a file in there has."""
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        """Say whether a file is there."""
        return not self.run("test", "-e", path, check=False).returncode


def open_to_all(container: Container, path: Path) -> None:
    """Let users in there pass to a directory that may be root's own, such as /root."""
    for place in (path, *path.parents):
        container.run("chmod", "o+x", str(place))


def python() -> Path:
    """Return the interpreter below the virtual environment of the tests."""
    return Path(sys.executable).resolve()


def _remove_group(place: Path) -> None:
    """Remove a control group and those below it, which have no processes any more."""
    if not place.name or not place.is_dir():
        return
    for below in place.iterdir():
        if below.is_dir():
            _remove_group(below)
    with suppress(OSError):
        place.rmdir()
