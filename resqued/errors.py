"""Every error of the package, split by who must act on it.

Messages are lower case, without a full stop, and name the thing, its value
and the way out; the command line prints them as they are.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the resqued command tells its caller; printed in resqued(1)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69
    INTERNAL = 70
    ALREADY_RUNNING = 75
    CONFIG = 78


class ResquedError(Exception):
    """Something went wrong that a person can read about in one line."""

    exit_code: ExitCode = ExitCode.FAILED


class ConfigError(ResquedError):
    """The operator must edit the configuration; all problems are told at once."""

    exit_code = ExitCode.CONFIG

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class StoreError(ResquedError):
    """Redis cannot be reached or refused the command; trying again may help."""

    exit_code = ExitCode.UNAVAILABLE


class PayloadError(ResquedError):
    """A queue held something that is no job; record it and go on."""


class ArgumentError(ResquedError, TypeError):
    """An argument cannot be held by JSON; nothing was written."""


class JobClassError(ResquedError):
    """The class of a job cannot be found, or may not be run."""


class QueueListError(ConfigError):
    """A queue list names no queue."""


class StartError(ResquedError):
    """The pool cannot start: every attempt failed in the same way."""

    exit_code = ExitCode.INTERNAL


class AlreadyRunningError(ResquedError):
    """Another master holds the pid file."""

    exit_code = ExitCode.ALREADY_RUNNING

    def __init__(self, path: object, pid: int) -> None:
        self.pid = pid
        who = f"master {pid} holds" if pid else "a master that is just starting holds"
        super().__init__(
            f"{who} pid file {path}: stop it with `resqued stop --pidfile {path}`,"
            " or name another file"
        )


class LaunchError(ResquedError):
    """The master that was started as a daemon has said why it cannot run."""

    def __init__(self, problems: list[str], exit_code: ExitCode) -> None:
        self.problems = tuple(problems)
        self.exit_code = exit_code
        super().__init__("; ".join(problems))


class ControlError(ResquedError):
    """A master cannot be talked to, or has refused."""


class NoMasterError(ControlError):
    """No master runs here, or the one that does gives no answer."""

    exit_code = ExitCode.UNAVAILABLE


class EmbeddedServerError(ResquedError):
    """The embedded server is not installed or did not start."""


class JobTerminated(BaseException):
    """SIGTERM reached the job; not meant for an `except Exception`."""


class JobTimeout(JobTerminated):
    """The job has come to its runtime limit; it has the grace to clean up."""


class MemoryLimitExceeded(JobTerminated):
    """The job uses more memory than its limit; it has the grace to clean up."""
