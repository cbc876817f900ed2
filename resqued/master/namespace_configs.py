"""The configuration of each namespace, from that of the generations of a master."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from resqued.config.loader import Config
from resqued.master.generations import GenerationManager
from resqued.scheduler.parts import ScheduleSource
from resqued.scheduler.schedule import Schedule


class NamespaceConfigs:
    """What applies to each namespace at the moment."""

    def __init__(self, generations: GenerationManager) -> None:
        self._generations = generations
        # By namespace: the configuration that applies, and what was made of it.
        self._made: dict[str, tuple[Config, Config]] = {}

    def of(self, namespace: str) -> Config:
        """Return the configuration that applies, with this namespace as the default.

        The same object for as long as no reload changes it.
        """
        config = self._generations.incumbent.config
        if namespace == config.app.namespace:
            return config
        before, made = self._made.get(namespace, (None, config))
        if before is not config:
            made = replace(config, app=replace(config.app, namespace=namespace))
            self._made[namespace] = config, made
        return made

    def schedules_of(self, namespace: str) -> ScheduleSource:
        """Return where a namespace has its recurring jobs: the default one has all."""
        return ScheduleSource(
            partial(self._schedules, namespace),
            lambda: self._generations.incumbent.has_dynamic_schedules,
        )

    def _schedules(self, namespace: str) -> tuple[Schedule, ...]:
        incumbent = self._generations.incumbent
        is_default = namespace == incumbent.config.app.namespace
        return incumbent.schedules if is_default else ()

    def url(self, namespace: str, before: str) -> str:
        """Return the URL where a namespace is now.

        That of the generation that serves it; the old one, if the namespace is served
        only by workers that leave: they do not move either.
        """
        generations = self._generations
        for config in (generations.incumbent.config, generations.current.config):
            if namespace in config.namespaces:
                return config.app.url
        return before
