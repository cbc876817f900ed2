"""systemd's units of this program on this host, as systemctl(1) shows them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from resqued.errors import ResquedError

PROPERTIES = ("KillMode", "TimeoutStopUSec", "OOMPolicy", "Delegate", "LoadState")
PATTERN = "resqued*.service"
PATIENCE = 5.0
# For what makes systemd read everything anew, on a machine that is busy.
LONGER = 60.0
# sd_booted(3)
_BOOTED = Path("/run/systemd/system")


class UnitError(ResquedError):
    """systemd cannot be asked; the text says why."""


def settings() -> dict[str, dict[str, str]]:
    """Return the settings of every unit that runs here or is installed, by its name.

    Raises UnitError without a systemd that answers.
    """
    names = set()
    for listing in ("list-units", "list-unit-files"):
        text = _systemctl(listing, "--all", "--plain", "--no-legend", PATTERN)
        names |= {line.split()[0] for line in text.splitlines() if line.strip()}
    # A template has no settings before it has an instance.
    units = sorted(name for name in names if "@." not in name)
    return {name: found for name in units if (found := _shown(name))}


def is_running(*, of_user: bool = False) -> bool:
    """Say whether systemd runs this host, or the services of this user."""
    if not of_user:
        return _BOOTED.is_dir()
    return Path(os.environ.get("XDG_RUNTIME_DIR", ""), "systemd/private").is_socket()


def reread(*, of_user: bool) -> None:
    """Have systemd see units that are new, changed or gone."""
    _systemctl(*_manager(of_user), "daemon-reload", patience=LONGER)


def make_users_and_directories() -> None:
    """Have the user and the directories of the units made, as at boot."""
    _run("systemd-sysusers", "resqued.conf", patience=LONGER)
    _run("systemd-tmpfiles", "--create", "resqued.conf", patience=LONGER)


def enable(names: Sequence[str], *, of_user: bool, root: Path) -> None:
    """Have units started at boot, or when the user's systemd starts."""
    _link("enable", names, of_user=of_user, root=root)


def disable(names: Sequence[str], *, of_user: bool, root: Path) -> None:
    """Have units no longer started at boot."""
    _link("disable", names, of_user=of_user, root=root)


def _link(verb: str, names: Sequence[str], *, of_user: bool, root: Path) -> None:
    below = () if root == Path("/") else (f"--root={root}",)
    # A user may be without a systemd just now; the symlinks are made all the same.
    alone = {} if is_running(of_user=of_user) else {"SYSTEMD_OFFLINE": "1"}
    words = (*_manager(of_user), *below, verb, *names)
    _run("systemctl", *words, patience=LONGER, environment=alone)


def enabled(place: Path) -> list[str]:
    """Return our units that `place` has symlinks for, instances too, by name.

    systemctl does not list instances that are enabled and have never run.
    """
    return sorted({link.name for link in place.glob("*.wants/resqued*")})


def loaded(*, of_user: bool) -> dict[str, str]:
    """Return what systemctl says of each of our services that it has, by name."""
    text = _systemctl(
        *(*_manager(of_user), "list-units", "--all", "--plain", "--no-legend", PATTERN)
    )
    rows = (line.split(None, 4) for line in text.splitlines() if line.strip())
    return {row[0]: f"{row[2]} ({row[3]})" for row in rows}


def _manager(of_user: bool) -> tuple[str, ...]:
    return ("--user",) if of_user else ()


def _shown(name: str) -> dict[str, str]:
    text = _systemctl("show", name, f"--property={','.join(PROPERTIES)}")
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return found if found.pop("LoadState", "") == "loaded" else {}


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
