"""The settings that the master sends to a zygote and its workers, as JSON.

Also the settings of a daemon, which a re-exec hands over in the same form.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, convert, field, to_builtins

from resqued.core.limits import Rules
from resqued.core.timings import DEFAULT_TIMINGS, Timings, read_timings
from resqued.core.worker_death import DeathRules
from resqued.errors import ConfigError
from resqued.retries.policy import RetryRules
from resqued.wire.failure_place import REDIS, FailurePlace
from resqued.wire.keys import DEFAULT_NAMESPACE
from resqued.wire.payload import MAX_PAYLOAD


class DaemonSettings(Struct, frozen=True):
    """The files of a master, and the user that it runs as.

    An empty string means the default: no file, or no change of user or group. `umask`
    is in octal.
    """

    pid_file: str = ""
    log_file: str = ""
    user: str = ""
    group: str = ""
    umask: str = "022"


NO_DAEMON = DaemonSettings()


class AppSettings(Struct, frozen=True):
    """The settings of a generation, the same for all of its workers.

    Durations are in seconds. `grace`: between SIGTERM and SIGKILL for a job.
    `exit_grace`: how long a child may take to flush and exit after its job.
    `orphan_grace`: how long a job may run after the master has died. `settle_grace`:
    how long a terminating worker waits for Redis to return. `stop_timeout`: how long
    the master waits for running jobs before it ends them; 0 means for ever.
    `min_replicas`: how many replicas must have the record of a run before it begins.
    `max_jobs`, `max_age`: after this many jobs, or this time, a worker is replaced; 0
    means never. `max_payload`: the bytes that a payload may have.
    `leftovers`: "kill" or "leave" the processes that a job leaves behind. `nice`
    lowers the priority of the children, and `open_files` and `core_size` (bytes) limit
    them; -1 changes nothing.
    `redact`: names of arguments that no log shows. `namespace` is the default one, or
    in a worker that of its pool. `names_namespace`: the pools of the master have
    several namespaces, so titles and logs name the one of a worker.
    `failure_backends`: where failures go; `webhook_url` gets them as JSON, and a
    delivery may take `delivery_timeout`; with `failure_locals` Sentry gets local
    variables too.
    `history`: "minutes", "hours" or "off", what is kept of runs and queues.
    `max_failures`, `max_failure_age`: how many failures a list keeps, and for how long;
    0 means all, for ever.
    """

    url: str
    namespace: str = DEFAULT_NAMESPACE
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
    stop_timeout: float = 0.0
    redis_timeout: float = 3.0
    min_replicas: int = 0
    hostname: str = ""
    jobs_per_child: int = 1
    max_jobs: int = 0
    max_age: float = 0.0
    max_payload: int = MAX_PAYLOAD
    leftovers: str = "kill"
    nice: int = 5
    open_files: int = -1
    core_size: int = -1
    redact: tuple[str, ...] = ()
    names_namespace: bool = False
    history: str = "minutes"
    failure_backends: tuple[str, ...] = (REDIS,)
    webhook_url: str = ""
    delivery_timeout: float = 10.0
    failure_locals: bool = False
    max_failures: int = 0
    max_failure_age: float = 0.0
    rules: Rules = field(default_factory=Rules)
    retries: RetryRules = field(default_factory=RetryRules)
    deaths: DeathRules = field(default_factory=DeathRules)
    timings: Timings = DEFAULT_TIMINGS

    @property
    def sweeps(self) -> bool:
        """True if processes that a job leaves behind are killed."""
        return self.leftovers == "kill"

    @property
    def shown_namespace(self) -> str:
        """The namespace, where titles and logs must name it; else ""."""
        return self.namespace if self.names_namespace else ""

    @property
    def master_timeout(self) -> float:
        """How long the master waits for Redis, in seconds.

        At most 1 second, so that it can act on signals meanwhile.
        """
        return min(1.0, self.redis_timeout)

    @property
    def failure_place(self) -> FailurePlace:
        """Where the failures of these workers go."""
        return FailurePlace.of(self.failure_backends)

    @property
    def is_restrained(self) -> bool:
        """True if a resource limit is set for the children."""
        return self.open_files >= 0 or self.core_size >= 0

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as a dictionary for a message."""
        found: dict[str, Any] = to_builtins(self)
        return found

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AppSettings:
        """Return the settings from the dictionary of a message."""
        return convert(values, cls)


def changed_timings(text: str) -> Timings:
    """Return the timings that RESQUED_TIMINGS asks for; raise ConfigError."""
    try:
        return read_timings(text)
    except ValueError as error:
        raise ConfigError(f"RESQUED_TIMINGS: {error}") from None
