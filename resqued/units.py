"""systemd's units of this program on this host, as systemctl(1) shows them."""

from __future__ import annotations

import subprocess

from resqued.errors import ResquedError

PROPERTIES = ("KillMode", "TimeoutStopUSec", "OOMPolicy", "Delegate", "LoadState")
PATTERN = "resqued*.service"
PATIENCE = 5.0


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


def _shown(name: str) -> dict[str, str]:
    text = _systemctl("show", name, f"--property={','.join(PROPERTIES)}")
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return found if found.pop("LoadState", "") == "loaded" else {}


def _systemctl(*words: str) -> str:
    try:
        done = subprocess.run(
            ["systemctl", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except FileNotFoundError:
        raise UnitError("there is no systemctl here") from None
    except subprocess.TimeoutExpired:
        raise UnitError(f"systemctl gave no answer within {PATIENCE:g} s") from None
    except OSError as error:
        raise UnitError(f"systemctl cannot be run: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise UnitError(f"systemctl: {lines[0].rstrip('.')}")
    return done.stdout
