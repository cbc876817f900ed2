"""The systemd units of resqued on this host, by systemctl(1).

Used by `resqued service` and `resqued doctor`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from resqued.errors import ResquedError

PROPERTIES = ("KillMode", "TimeoutStopUSec", "OOMPolicy", "LoadState")
PATTERN = "resqued*.service"
# Time limits in seconds: for a query, and for commands that make systemd read all of
# its units again.
PATIENCE = 5.0
LONGER = 60.0
# sd_booted(3)
_BOOTED = Path("/run/systemd/system")


class UnitError(ResquedError):
    """A command of systemd failed or cannot be run; the message says why."""


def settings() -> dict[str, dict[str, str]]:
    """Return the PROPERTIES of every unit that is loaded or installed, by its name.

    Raises UnitError if systemd does not answer.
    """
    names = set()
    for listing in ("list-units", "list-unit-files"):
        text = _systemctl(listing, "--all", "--plain", "--no-legend", PATTERN)
        names |= {line.split()[0] for line in text.splitlines() if line.strip()}
    # A template has no properties, only its instances have.
    units = sorted(name for name in names if "@." not in name)
    return {name: values for name in units if (values := _properties(name))}


def is_running(*, of_user: bool = False) -> bool:
    """Return True if systemd runs on this host, or as this user's manager."""
    if not of_user:
        return _BOOTED.is_dir()
    return Path(os.environ.get("XDG_RUNTIME_DIR", ""), "systemd/private").is_socket()


def reread(*, of_user: bool) -> None:
    """Make systemd read its units again; raise UnitError if that fails."""
    _systemctl(*_manager(of_user), "daemon-reload", patience=LONGER)


def make_users_and_directories() -> None:
    """Create the user and the directories of the units, as systemd does at boot.

    Raises UnitError if that fails.
    """
    _run("systemd-sysusers", "resqued.conf", patience=LONGER)
    _run("systemd-tmpfiles", "--create", "resqued.conf", patience=LONGER)


def enable(names: Sequence[str], *, of_user: bool, root: Path) -> None:
    """Enable units: they start at boot, or with the user's manager.

    `root` is the directory of the system to change. Raises UnitError if it fails.
    """
    _link("enable", names, of_user=of_user, root=root)


def disable(names: Sequence[str], *, of_user: bool, root: Path) -> None:
    """Disable units; see `enable`."""
    _link("disable", names, of_user=of_user, root=root)


def _link(verb: str, names: Sequence[str], *, of_user: bool, root: Path) -> None:
    in_root = () if root == Path("/") else (f"--root={root}",)
    # Without a running manager systemctl only creates the symlinks.
    offline = {} if is_running(of_user=of_user) else {"SYSTEMD_OFFLINE": "1"}
    words = (*_manager(of_user), *in_root, verb, *names)
    _run("systemctl", *words, patience=LONGER, environment=offline)


def enabled(place: Path) -> list[str]:
    """Return the names of our units for which the directory `place` has symlinks.

    systemctl does not list instances that are enabled and have never run.
    """
    return sorted({link.name for link in place.glob("*.wants/resqued*")})


def loaded(*, of_user: bool) -> dict[str, str]:
    """Return the state of each loaded service of ours, by name: active (running).

    Raises UnitError if systemd does not answer.
    """
    text = _systemctl(
        *(*_manager(of_user), "list-units", "--all", "--plain", "--no-legend", PATTERN)
    )
    rows = (line.split(None, 4) for line in text.splitlines() if line.strip())
    return {row[0]: f"{row[2]} ({row[3]})" for row in rows}


def _manager(of_user: bool) -> tuple[str, ...]:
    return ("--user",) if of_user else ()


def _properties(name: str) -> dict[str, str]:
    text = _systemctl("show", name, f"--property={','.join(PROPERTIES)}")
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return values if values.pop("LoadState", "") == "loaded" else {}


def _systemctl(*words: str, patience: float = PATIENCE) -> str:
    return _run("systemctl", *words, patience=patience)


def _run(
    program: str,
    *words: str,
    patience: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    try:
        done = subprocess.run(
            [program, *words],
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            check=False,
        )
    except FileNotFoundError:
        raise UnitError(f"there is no {program} here") from None
    except subprocess.TimeoutExpired:
        raise UnitError(f"{program} gave no answer within {patience:g} s") from None
    except OSError as error:
        raise UnitError(f"{program} cannot be run: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UnitError(f"{program}: {lines[0].rstrip('.')}")
    return done.stdout
