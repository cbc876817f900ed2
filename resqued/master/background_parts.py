"""The parts of a master that no worker waits for: delayed jobs, and failures."""

from __future__ import annotations

from resqued.config.loader import Config
from resqued.failure.deliverer_keeper import DelivererKeeper
from resqued.failure.trimmer import FailureTrimmer
from resqued.log.logger import Logger
from resqued.master.generations import GenerationManager
from resqued.master.part import Part
from resqued.scheduler.parts import scheduler_parts
from resqued.system.poller import Poller


def background_parts(
    config: Config,
    owner: str,
    generations: GenerationManager,
    poller: Poller,
    log: Logger,
) -> tuple[Part, ...]:
    """Return these parts; `owner` names the master in Redis."""

    def present() -> Config:
        return generations.incumbent.config

    return (
        *scheduler_parts(config.app, owner, generations, poller, log),
        DelivererKeeper(present, poller, log),
        FailureTrimmer(present, log),
    )
