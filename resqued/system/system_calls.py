"""System calls that an old kernel does not have, or that a sandbox refuses.

A container may refuse any call with any error (seccomp(2)), most often EPERM. People
would take that error alone for a missing permission.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

from resqued.errors import ConfigError

_SIGSET_SIZE = 128
# The calls that a master needs; it can replace pidfd_open(2).
REQUIRED = ("memfd_create", "signalfd")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SELF = Path("/proc/self")
REMEDY = "allow it in the seccomp profile of the container or service"


def refused() -> dict[str, str]:
    """Return the calls that the kernel refuses, with its error."""
    tries: dict[str, Callable[[], int]] = {
        "memfd_create": lambda: os.memfd_create("resqued-try"),
        "signalfd": _signalfd,
        "pidfd_open": lambda: os.pidfd_open(os.getpid()),
    }
    reasons: dict[str, str] = {}
    for name, call in tries.items():
        try:
            os.close(call())
        except OSError as error:
            reasons[name] = error.strerror or str(error)
    return reasons


def require() -> None:
    """Raise ConfigError if the kernel refuses a call that a master needs, or /proc."""
    if not _BOOT_ID.exists():
        raise ConfigError(f"there is no {_BOOT_ID}: mount proc(5) at /proc")
    if _SELF.readlink() != Path(str(os.getpid())):
        raise ConfigError(
            "/proc shows the processes of another pid namespace: mount proc(5) at"
            " /proc in the namespace of resqued (unshare --mount-proc)"
        )
    reasons = refused()
    problems = [
        f"{lacks(name, reasons[name])}; {REMEDY}"
        for name in REQUIRED
        if name in reasons
    ]
    if problems:
        raise ConfigError(*problems)


def lacks(name: str, reason: str) -> str:
    """Return the text for a system call that is refused."""
    return f"the kernel refuses {name}(2): {reason}"


def _signalfd() -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.signalfd(-1, bytes(_SIGSET_SIZE), os.O_CLOEXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return fd
