"""A kernel that refuses some system calls, as an old one or a container's does."""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Callable

# Numbers by machine; calls from Linux 5 on have the same number everywhere.
NUMBERS = {
    "x86_64": {"memfd_create": 319, "signalfd": 289, "pidfd_open": 434},
    "aarch64": {"memfd_create": 279, "signalfd": 74, "pidfd_open": 434},
}
_NO_NEW_PRIVS, _SECCOMP, _MODE_FILTER = 38, 22, 2
# Instructions of a BPF program: load the number of the call, compare, return.
_LOAD, _IS_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERROR, _ALLOW = 0x50000, 0x7FFF0000


def refuse(name: str, error: int) -> Callable[[], None]:
    """Return what makes a process get that error for a call: a `preexec_fn`."""
    number = NUMBERS[platform.machine()][name]
    rules = (
        (_LOAD, 0, 0, 0),
        (_IS_EQUAL, 0, 1, number),
        (_RETURN, 0, 0, _ERROR | error),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = ctypes.create_string_buffer(
        b"".join(struct.pack("=HBBI", *rule) for rule in rules)
    )
    program = ctypes.create_string_buffer(
        struct.pack("@HP", len(rules), ctypes.addressof(code))
    )
    prctl = ctypes.CDLL(None).prctl

    def install() -> None:
        assert code, "it must live as long as this"
        prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        assert prctl(_SECCOMP, _MODE_FILTER, program, 0, 0) == 0

    return install
