"""What a zygote and its workers are told by the master: plain values, as JSON.

And, since they are handed over in the same way, the settings of a daemon.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from resqued.core.limits import Rules
from resqued.core.timings import DEFAULT_TIMINGS, Timings


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """Where a master leaves its pid and its log, and as whom it runs."""

    pid_file: str = ""
    log_file: str = ""
    user: str = ""
    group: str = ""
    umask: str = "022"


NO_DAEMON = DaemonSettings()


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What a generation is made of: the same for all of its workers.

    Durations are seconds. `grace` lies between terminate and kill, `exit_grace`
    is what a child has for flushing after its job, `orphan_grace` what a running
    job has when the master is gone, `settle_grace` how long a worker that is to
    terminate waits for a Redis that is away. After `max_jobs` or `max_age` a worker
    leaves for a new one; 0 is never. `leftovers` says what becomes of processes
    that a job has left behind: kill or leave. `nice`, `open_files` and `core_size`
    (bytes) restrain the children; -1 leaves them as they are. `redact` are names of
    arguments that no log shows.
    """

    url: str
    namespace: str = "resque"
    modules: tuple[str, ...] = ()
    directory: str = ""
    generation: int = 1
    burst: bool = False
    graceful_term: bool = False
    heartbeat: float = 60.0
    grace: float = 4.0
    exit_grace: float = 5.0
    orphan_grace: float = 3.0
    settle_grace: float = 5.0
    redis_timeout: float = 3.0
    hostname: str = ""
    jobs_per_child: int = 1
    max_jobs: int = 0
    max_age: float = 0.0
    leftovers: str = "kill"
    nice: int = 0
    open_files: int = -1
    core_size: int = -1
    redact: tuple[str, ...] = ()
    rules: Rules = field(default_factory=Rules)
    timings: Timings = DEFAULT_TIMINGS

    @property
    def sweeps(self) -> bool:
        """Whether what a job leaves behind is killed."""
        return self.leftovers == "kill"

    @property
    def is_restrained(self) -> bool:
        """Whether children have less than this process."""
        return self.nice > 0 or self.open_files >= 0 or self.core_size >= 0

    def as_dict(self) -> dict[str, Any]:
        """Return the values for a message."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AppSettings:
        """Return the settings that a message holds."""
        read = {
            "modules": tuple(values["modules"]),
            "redact": tuple(values["redact"]),
            "rules": Rules.from_dict(values["rules"]),
        }
        return cls(**{**values, **read})
