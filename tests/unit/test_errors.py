"""Which faults of a file are the configuration's, and which are the disk's."""

from __future__ import annotations

import errno
import os

import pytest

from resqued.errors import ExitCode, unwritable


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ExitCode.CANNOT_CREATE),
        (errno.EDQUOT, ExitCode.CANNOT_CREATE),
        (errno.EROFS, ExitCode.CANNOT_CREATE),
        (errno.EIO, ExitCode.CANNOT_CREATE),
        (errno.EACCES, ExitCode.CONFIG),
        (errno.ENOENT, ExitCode.CONFIG),
        (errno.EISDIR, ExitCode.CONFIG),
    ],
)
def test_a_disk_that_fails_is_no_wrong_configuration(number: int, code: int) -> None:
    reason = os.strerror(number)
    error = unwritable("pid file /x", OSError(number, reason))
    assert error.exit_code == code
    assert str(error) == f"pid file /x cannot be written: {reason}"
