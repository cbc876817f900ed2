"""What a zygote and its workers are told by the master: plain values, as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What a generation is made of: the same for all of its workers.

    Durations are seconds. `grace` lies between terminate and kill, `exit_grace`
    is what a child has for flushing after its job, `orphan_grace` what a running
    job has when the master is gone, `settle_grace` how long a worker that is to
    terminate waits for a Redis that is away.
    """

    url: str
    namespace: str = "resque"
    modules: tuple[str, ...] = ()
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

    def as_dict(self) -> dict[str, Any]:
        """Return the values for a message."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> AppSettings:
        """Return the settings that a message holds."""
        return cls(**{**values, "modules": tuple(values["modules"])})
