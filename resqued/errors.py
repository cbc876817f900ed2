"""The errors that a caller of the package can get, split by who must act on them.

Each derives from ResquedError, and from ValueError or TypeError where the caller
passed something wrong. Messages are lower case, without a full stop, and name the
thing, its value and the way out; the command line prints them as they are.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "AlreadyRunningError",
    "ArgumentError",
    "ConfigError",
    "ControlError",
    "DeliveryError",
    "DeliveryRefused",
    "DirtyExit",
    "DontPerform",
    "EmbeddedServerError",
    "ExitCode",
    "FileCreationError",
    "JobClassError",
    "JobTerminated",
    "JobTimeout",
    "LaunchError",
    "LintError",
    "MemoryLimitExceeded",
    "NoMasterError",
    "ObjectNotFoundError",
    "PayloadError",
    "QueueListError",
    "QueueNameError",
    "ResquedError",
    "RetryLater",
    "StartError",
    "StoreError",
    "UnusableServerError",
]


class ExitCode(IntEnum):
    """What the resqued command tells its caller; printed in resqued(1)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNAVAILABLE = 69
    INTERNAL = 70
    CANNOT_CREATE = 73
    ALREADY_RUNNING = 75
    CONFIG = 78


class ResquedError(Exception):
    """The base of all errors of the package; its text is one line for a person.

    `exit_code` is the exit status of a command that ends with the error.
    """

    exit_code: ExitCode = ExitCode.FAILED


class ConfigError(ResquedError):
    """A setting is wrong: a key of the configuration, or the URL of a client.

    `problems` holds one text for each wrong setting.
    """

    exit_code = ExitCode.CONFIG

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class StoreError(ResquedError):
    """Redis cannot be reached or refused the command; trying again may help."""

    exit_code = ExitCode.UNAVAILABLE


class UnusableServerError(ConfigError, StoreError):
    """What answers at the URL can never do what is needed: it is no Redis, or another
    kind of Redis, such as a node of a cluster; trying again does not help.
    """


class PayloadError(ResquedError, ValueError):
    """An element of a queue or of the failed list is not JSON, or is no job."""


class ArgumentError(ResquedError, TypeError):
    """The arguments do not fit the job, or JSON cannot hold one of them.

    Nothing was written to Redis.
    """


class JobClassError(ResquedError, ValueError):
    """A job is declared wrongly, names no queue, or is not known here."""


class ObjectNotFoundError(ResquedError, LookupError):
    """The object whose method is to run was not found by its id."""


class DeliveryError(ResquedError):
    """A service did not take a failure; a later try may help.

    `retry_after` is for how many seconds the service asks to be left alone; 0 if it
    does not say.
    """

    retry_after = 0.0

    def __init__(self, reason: str = "", retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(reason)


class DeliveryRefused(ResquedError):  # noqa: N818 - it says what happened
    """A service will never take this failure; a back end raises it in `save`."""


class LintError(ResquedError, ValueError):
    """A plugin has a hook that may collide with others, or that cannot be one."""


class DontPerform(ResquedError):  # noqa: N818 - the name is that of Resque
    """Raised by a before_perform hook: the job is not run, and counts as a success."""


class DirtyExit(ResquedError):  # noqa: N818 - the name is that of Resque
    """The child of a job has died without reporting an outcome: by a signal, or exit.

    on_failure hooks get it; a job that a signal has killed cannot raise anything.
    """


class RetryLater(ResquedError):  # noqa: N818 - it is no error
    """Raised by a job that is to be tried again after `delay`.

    `delay` is in seconds, or a text such as "30s"; without one it is that of the retry
    that the job declares, or 10 s. A job that declares none is tried without limit.
    """

    def __init__(self, delay: float | str | None = None, reason: str = "") -> None:
        self.delay = delay
        super().__init__(reason or "the job asks to be tried again later")


class QueueNameError(JobClassError):
    """The name of a queue is empty, not a str, or one that no queue list can name."""


class QueueListError(ConfigError):
    """A queue list names no queue."""


class StartError(ResquedError):
    """The pool cannot start: every attempt failed in the same way."""

    exit_code = ExitCode.INTERNAL


class FileCreationError(ResquedError):
    """A file cannot be created or written now; trying again may help."""

    exit_code = ExitCode.CANNOT_CREATE


# EIO, ENOSPC, EROFS, EDQUOT of Linux: the disk is broken, full or read-only.
_DISK_FAULTS = {5, 28, 30, 122}


def unwritable(what: str, error: OSError) -> ResquedError:
    """Return the error for a file that cannot be written; `what` names the file.

    That is FileCreationError for a fault of the disk, or else ConfigError.
    """
    text = f"{what} cannot be written: {error.strerror}"
    if error.errno in _DISK_FAULTS:
        return FileCreationError(text)
    return ConfigError(text)


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


class JobTerminated(SystemExit):
    """Raised in a running job by SIGTERM: the job has the grace to clean up.

    No Exception and so no ResquedError: `except Exception` in a job lets it pass. It is
    a SystemExit because an event loop such as that of asyncio swallows every other
    exception that is raised in one of its callbacks.
    """


class JobTimeout(JobTerminated):
    """Raised in a running job that has reached its timeout."""


class MemoryLimitExceeded(JobTerminated):
    """Raised in a running job whose processes use more memory than its limit."""
